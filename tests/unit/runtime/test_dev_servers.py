"""Which settings `squire dev` has its processes take by a new start of one of them, and which need its own."""

from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest

from squire_pipelines.ledger.empty import EmptyLedger
from squire_pipelines.runtime.dev_servers import DevServers
from squire_pipelines.runtime.ports import free_port
from squire_pipelines.settings.model import Settings


@dataclass
class Processes:
    """In the place of `Services`: starts nothing, and knows what it was to start."""

    children: dict[str, object] = field(default_factory=dict)
    restarted: list[set[str]] = field(default_factory=list)

    def start_board(self) -> None:
        self.children["board"] = object()

    def start_daemon(self) -> None:
        self.children["code-server"] = object()

    def start_webserver(self, _port: int) -> None:
        pass

    def restart(self, names: Collection[str]) -> tuple[str, ...]:
        self.restarted.append(set(names))
        return tuple(names)


@pytest.fixture(scope="module")
def ledger() -> Iterator[EmptyLedger]:
    with closing(EmptyLedger()) as empty:
        yield empty


def settings_with(**sections: Any) -> Settings:
    return Settings.model_validate({"observability": {"enabled": False}, **sections})


@pytest.mark.parametrize(
    ("changed", "restarted", "not_taken"),
    [
        ({"board": {"port": 1}}, [{"board"}], ()),
        ({"board": {"enabled": False}}, [], ("board.enabled",)),
        ({"logging": {"files": 7}}, [], ("logging.files",)),
        ({"repositories": ["acme/api"]}, [], ()),
    ],
)
def test_what_one_process_was_started_with_is_taken_by_its_new_start(
    ledger: EmptyLedger, changed: dict[str, Any], restarted: list[set[str]], not_taken: tuple[str, ...]
) -> None:
    first = settings_with(board={"port": free_port()})
    lines: list[str] = []
    processes = Processes()
    servers = DevServers(processes, ledger, first, say=lines.append, follows_code=False)  # type: ignore[arg-type]
    servers.start(free_port(), webhooks=False)
    board = {"port": first.board.port, **changed.get("board", {})}
    now = settings_with(**{**changed, "board": board})
    for _ in range(2):
        servers.look(now)
    assert processes.restarted == restarted
    assert servers.not_taken(now) == not_taken
