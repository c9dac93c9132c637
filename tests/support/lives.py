"""Lives a pull request of ours from its opening to its end, and checks what must hold for each.

How deliveries come, and when our processes are killed, is chosen beside the life's script.
"""

import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import httpx

from squire_forge.records import Delivery
from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.ledger import bulk, followed_pulls, outcomes, tasks
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.settings.model import Settings
from tests.support.ledgers import Clock, add_task, decide, empty_tables, list_tasks, sqlite_ledger_file
from tests.support.life_acts import ACTS
from tests.support.life_agent import ScriptedAgent, is_kept
from tests.support.life_kills import Killer, MortalLedger
from tests.support.life_scripts import LIVES, Life
from tests.support.life_squire import LifeSquire
from tests.support.life_world import HOSTED, TOKEN, WEB, LifeForge

_WAIT_S = 61.0
_LONG_WAIT_S = 700.0
_MAX_LOOKS = 12


class News(StrEnum):
    """How what happens at GitHub comes to Squire."""

    DELIVERED = "delivered"
    ASKED_FOR = "asked_for"
    DOUBLED = "doubled"
    REVERSED = "reversed"
    LATE = "late"


class Kills(StrEnum):
    """When processes of ours are killed: never, each once at some moment, or each at each of its moments."""

    NONE = "none"
    SOME = "some"
    EACH = "each"


class Wrong(StrEnum):
    """What may be wrong with a life."""

    ENDING = "endings told wrongly"
    SECOND_PULL = "second pull requests"
    LOST = "work lost, or done twice"
    PUSHED_OVER = "pushes over a person's commit"
    SAID_TWICE = "comments twice"
    UNDONE = "left undone"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in the end, in a sentence."""

    kind: Wrong
    text: str


@dataclass(frozen=True)
class Verdict:
    """What was wrong in the end, and how often a process was killed."""

    problems: tuple[Problem, ...]
    kills: int


class LifeRun:
    """One life that is lived.

    Args:
        life: Its script.
        forge: Where it happens.
        squire: Follows it.
        news: How deliveries come.
    """

    def __init__(self, life: Life, forge: LifeForge, squire: LifeSquire, news: News) -> None:
        self._life, self._forge, self._squire, self._news = life, forge, squire, news
        self._delayed: list[Delivery] = []
        self._task = ""
        if life.cancels:
            squire.on_ready = self._cancel

    def live(self) -> None:
        """Live it."""
        self._act_all(self._life.before)
        self._task = add_task(self._squire.ledger, repository=HOSTED)
        self._squire.go_on()
        self._hear()
        self._pass_time()
        for acts in self._life.happens:
            self._act_all(acts.split("+"))
            self._hear()
            self._pass_time()
        self._deliver(self._delayed)
        # What a killed process left is taken up after a while, at the latest when GitHub is asked again.
        for _ in range(_MAX_LOOKS):
            self._pass_time()
            if not self.problems():
                return
            self._squire.clock.forward(_LONG_WAIT_S)

    def _act_all(self, names: Sequence[str]) -> None:
        for name in names:
            self.act(name)

    def act(self, name: str) -> None:
        """Have one thing happen."""
        own: dict[str, Callable[[], object]] = {
            "wait": lambda: self._squire.clock.forward(_LONG_WAIT_S),
            "retry": self._retry,
            "take up": self._take_up,
        }
        if name in own:
            own[name]()
        else:
            ACTS[name](self._forge)

    def _retry(self) -> None:
        """Retry what has failed, as `squire tasks retry` does."""
        with self._squire.ledger.write() as tx:
            failed = [task.id for task in list_tasks(tx) if task.status == "failed"]
            for task_id in failed:
                owner = followed_pulls.owner_of(tx, task_id)
                if owner is not None:
                    followed_pulls.take_up(tx, owner, actor="cli:mara", reason="asked for")
                if tasks.get(tx, task_id).status == "failed":
                    decide(tx, task_id, bulk.retry(3))

    def _cancel(self) -> None:
        with self._squire.ledger.write() as tx:
            for task in list_tasks(tx):
                if task.id != self._task and task.status == "ready":
                    tasks.cancel(tx, task.id, actor="cli:mara", reason="not this")

    def _take_up(self) -> None:
        with self._squire.ledger.write() as tx:
            followed_pulls.take_up(tx, self._task, actor="github:mara", reason="asked for")

    def _hear(self) -> bool:
        """Have what happened come to Squire in this life's way; return whether anything had happened."""
        self._forge.settle()
        fresh = self._forge.take_deliveries()
        match self._news:
            case News.DELIVERED:
                self._deliver(fresh)
            case News.DOUBLED:
                self._deliver(fresh)
                self._deliver([*fresh, *fresh])
            case News.REVERSED:
                self._deliver(fresh[::-1])
            case News.LATE:
                earlier, self._delayed = self._delayed, fresh
                self._deliver(earlier)
            case News.ASKED_FOR:
                self._squire.go_on()
        return bool(fresh)

    def _deliver(self, news: Sequence[Delivery]) -> None:
        for delivery in news:
            self._squire.receive(delivery, HOSTED)
        self._squire.go_on()

    def _pass_time(self) -> None:
        """Let time pass until nothing happens any more; Squire looks as its schedules have it look."""
        for _ in range(_MAX_LOOKS):
            runs = len(self._squire.agent.runs)
            self._squire.clock.forward(_WAIT_S)
            self._squire.look()
            if not self._hear() and len(self._squire.agent.runs) == runs:
                return

    # ── What must hold ────────────────────────────────────────────────────────────────────────────────────────────

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong in the end; nothing where all is well."""
        checks = {
            Wrong.ENDING: self._wrong_endings,
            Wrong.SECOND_PULL: self._too_many_pulls,
            Wrong.LOST: self._lost_work,
            Wrong.PUSHED_OVER: self._overwritten,
            Wrong.SAID_TWICE: self._said_twice,
            Wrong.UNDONE: self._left_undone,
        }
        return tuple(Problem(kind, text) for kind, check in checks.items() for text in check())

    def _outcome(self) -> Outcome | None:
        with self._squire.ledger.read() as tx:
            return outcomes.get(tx, self._task)

    def _wrong_endings(self) -> Iterator[str]:
        outcome = self._outcome()
        if outcome is None:
            yield "there is no pull request on record"
            return
        stands = (outcome.follow_state, outcome.follow_reason or "")
        if self._life.ends is not None and (
            outcome.follow_state != self._life.ends or self._life.reason not in stands[1]
        ):
            yield f"it stands at {stands[0]} ({stands[1]}), not at {self._life.ends} ({self._life.reason})"
        with self._squire.ledger.read() as tx:
            events = [event for event in tasks.events(tx, self._task) if event.subject == EventSubject.FOLLOW]
        passed = [FollowState(event.after) for event in events if FollowState(event.after).is_final]
        ends = [] if self._life.ends is None or not self._life.ends.is_final else [self._life.ends]
        expected = list(self._life.passes if self._life.passes is not None else ends)
        if not _is_part(passed, _possible(expected)):
            yield f"it was told to have ended as {[*map(str, passed)]}, not {[*map(str, expected)]}"

    def _too_many_pulls(self) -> Iterator[str]:
        if (count := len(self._forge.pulls())) != self._life.pulls:
            yield f"there are {count} pull requests of ours"

    def _lost_work(self) -> Iterator[str]:
        agent = self._squire.agent
        for attempt_id, line in agent.made.items():
            if not self._forge.contains(line) and not is_kept(self._squire.folder_of(attempt_id)):
                yield f"the work of {attempt_id} is lost"
        if self._life.runs is not None and len(agent.runs) > self._life.runs:
            yield f"the agent ran {len(agent.runs)} times, not {self._life.runs}"
        for task_id in self._squire.task_ids():
            own = [attempt for attempt in agent.runs if attempt.rpartition("-")[0] == task_id]
            unpublished = [one for one in own if one in agent.made and not self._forge.contains(agent.made[one])]
            if unpublished and own[-1] not in unpublished:
                yield f"the work of {unpublished} was done again"

    def _overwritten(self) -> Iterator[str]:
        for sha in self._forge.persons_commits:
            if not self._forge.is_kept_by_branches(sha):
                yield f"a person's commit {sha[:8]} was pushed over"

    def _said_twice(self) -> Iterator[str]:
        for (place, text), count in Counter(self._forge.own_words()).items():
            if count > 1:
                yield f"at {place} it was said {count} times: {text[:80]!r}"
        starts = Counter((place, text.partition("\n")[0]) for place, text in self._forge.own_words())
        for (place, marker), count in starts.items():
            if marker.startswith("<!--") and count > 1:
                yield f"at {place} there are {count} comments marked {marker}"

    def _left_undone(self) -> Iterator[str]:
        for task_id in self._squire.task_ids():
            if (status := self._squire.status_of(task_id)) in {"running", "ready"}:
                yield f"the task {task_id} is still {status}"
        if (reason := self._squire.reason_to_follow()) is not None:
            yield f"there is still something to follow: {reason}"


def _possible(expected: Sequence[FollowState]) -> Sequence[FollowState]:
    """Return the endings that may be told on the way: a closed one is closed until it is known to have landed."""
    possible: list[FollowState] = []
    for state in expected:
        possible += [FollowState.CLOSED, state] if state is FollowState.LANDED_ELSEWHERE else [state]
    return possible


def _is_part(passed: Sequence[FollowState], possible: Sequence[FollowState]) -> bool:
    """Return whether `passed` comes in this order among `possible`, and ends with its last."""
    left = iter(possible)
    return all(state in left for state in passed) and (not possible or not passed or passed[-1] == possible[-1])


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
