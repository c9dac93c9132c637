"""Lives a pull request of ours from its opening to its end, and checks what must hold for each.

How deliveries come, and when our processes are killed, is chosen beside the life's script.
"""

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import httpx

from squire_pipelines.settings.model import Settings
from tests.support.ledgers import Clock, empty_tables, sqlite_ledger_file
from tests.support.life_agent import ScriptedAgent
from tests.support.life_checks import Problem, Wrong
from tests.support.life_definition import Life
from tests.support.life_kills import Killer, MortalLedger
from tests.support.life_run import LifeRun, News
from tests.support.life_scripts import LIVES
from tests.support.life_squire import LifeSquire
from tests.support.life_world import HOSTED, TOKEN, WEB, LifeForge

__all__ = ["Kills", "Lives", "News", "Verdict", "Wrong"]


class Kills(StrEnum):
    """When processes of ours are killed: never, each once at some moment, or each at each of its moments."""

    NONE = "none"
    SOME = "some"
    EACH = "each"


@dataclass(frozen=True)
class Verdict:
    """What was wrong in the end, and how often a process was killed."""

    problems: tuple[Problem, ...]
    kills: int


class Lives:
    """Lives many lives, one after the other, with one ledger that is emptied for each.

    Args:
        folder: Where everything lies.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clock = Clock(datetime.now(UTC).replace(microsecond=0))
        self._ledger = MortalLedger(f"sqlite:///{sqlite_ledger_file(folder / 'ledger.sqlite')}", clock=self._clock)
        self._ledger.killer = Killer()

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()

    def live(self, name: str, news: News, kills: Kills, *, seed: int = 0) -> Verdict:
        """Live one life; return what was wrong."""
        chance = None if kills is Kills.NONE else random.Random(f"{name} {news} {seed}")  # noqa: S311 - repeatable
        life = LIVES[name]
        with self.begin(life, chance=chance, kills_everywhere=kills is Kills.EACH) as (forge, squire):
            run = LifeRun(life, forge, squire, news)
            squire.agent.act = run.act
            try:
                run.live()
                problems = run.problems()
            except AssertionError as error:
                problems = (Problem(Wrong.UNDONE, str(error)),)
        return Verdict(problems, self._ledger.killer.kills)

    @contextmanager
    def begin(
        self,
        life: Life,
        *,
        chance: random.Random | None = None,
        kills_everywhere: bool = False,
        counts: Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport] = lambda transport: transport,
    ) -> Iterator[tuple[LifeForge, LifeSquire]]:
        """Begin a life that the caller goes on with; `counts` may wrap what carries requests to the forge."""
        self._ledger.killer = Killer()
        empty_tables(self._ledger)
        with tempfile.TemporaryDirectory(dir=self._folder) as one, _environment(Path(one)):
            forge = LifeForge(Path(one) / "forge", self._clock)
            try:
                yield (
                    forge,
                    LifeSquire(
                        _settings(life),
                        self._ledger,
                        self._clock,
                        counts(forge.transport()),
                        ScriptedAgent(life.works),
                        chance=chance,
                        kills_everywhere=kills_everywhere,
                    ),
                )
            finally:
                forge.close()


@contextmanager
def _environment(home: Path) -> Iterator[None]:
    own = {"SQUIRE_HOME": str(home / "home"), "SQUIRE_GITHUB_TOKEN": TOKEN}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    (home / "home").mkdir(mode=0o700)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _settings(life: Life) -> Settings:
    usual = {
        "repositories": (HOSTED,),
        "github": {"api_url": f"{WEB}/api/v3", "min_write_interval_s": 0},
        "planner": {"kind": "rules"},
        "agent": {"kind": "command", "runner": "local", "command": ("true",)},
        "publishing": {"retry_base_s": 0.001, "retry_cap_s": 0.001},
        "dispatch": {"retry_base_s": 1, "retry_cap_s": 1},
    }
    return Settings.model_validate({**usual, **life.settings})
