"""A server that is started alone, such as the receiver, is refused where another machine serves the home."""

import signal
from collections.abc import Iterator

import pytest

from squire_pipelines.cli.context import CliContext
from squire_pipelines.errors import ExitCode
from squire_pipelines.home_presence import HomePresence, Machine, read_presence
from squire_pipelines.reloading.in_force import SettingsInForce
from squire_pipelines.reloading.server_main import run_server
from squire_pipelines.repeating_thread import RepeatingThread

OTHER = Machine("another boot", "two")


class OtherMachine(RepeatingThread):
    """Beats quickly."""

    def __init__(self, presence: HomePresence) -> None:
        super().__init__("other-machine")
        self._presence = presence

    def repeat(self) -> float:
        self._presence.repeat()
        return 0.05


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_where_another_machine_serves_the_home_it_ends_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    served: list[SettingsInForce] = []
    other = HomePresence(CliContext().home.run, machine=OTHER)
    other.repeat()
    with OtherMachine(other):
        assert run_server(served.append) == ExitCode.REFUSED
    assert served == []
    lines = capsys.readouterr().err
    assert "error: another machine, two, serves " in lines
    assert "hint: stop Squire there" in lines


def test_alone_it_says_that_this_machine_serves_the_home() -> None:
    run = CliContext().home.run
    served: list[str] = []

    def serve(_in_force: SettingsInForce) -> None:
        presence = read_presence(run)
        assert presence is not None
        served.append(presence[0].boot)

    assert run_server(serve) == ExitCode.DONE
    assert len(served) == 1
    assert read_presence(run) is None
