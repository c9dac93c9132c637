"""Lives one life: has the acts of its script happen, and tells Squire of them in one of several ways."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import StrEnum

from squire_forge.records import Delivery
from squire_pipelines.domain.dashboards import has_tick
from squire_pipelines.domain.following import FollowState
from squire_pipelines.ledger import bulk, followed_pulls, outcomes, tasks
from tests.support.ledgers import ALL_APPROVED, NONE_APPROVED, add_task, decide, list_tasks
from tests.support.life_acts import ACTS
from tests.support.life_acts_dashboard import is_shown
from tests.support.life_checks import LifeChecks, Problem
from tests.support.life_definition import Life
from tests.support.life_facts import dashboards
from tests.support.life_squire import LifeSquire
from tests.support.life_world import HOSTED, LifeForge

_WAIT_S = 61.0
_LONG_WAIT_S = 700.0
_DAYS_S = timedelta(days=3).total_seconds()
_MAX_LOOKS = 12
_AT_WORK = frozenset({FollowState.FIXING, FollowState.ANSWERING, FollowState.UPDATING})


class News(StrEnum):
    """How what happens at GitHub comes to Squire."""

    DELIVERED = "delivered"
    ASKED_FOR = "asked_for"
    DOUBLED = "doubled"
    REVERSED = "reversed"
    LATE = "late"


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
        self._checks = LifeChecks(life, forge, squire)
        if life.cancels:
            squire.on_ready = self._cancel

    def live(self) -> None:
        """Live it."""
        for acts in self._life.before:
            self.act(acts)
        approval = NONE_APPROVED if self._life.is_proposed else ALL_APPROVED
        self._task = add_task(self._squire.ledger, repository=HOSTED, approval=approval)
        self._squire.go_on()
        self._hear()
        self._pass_time()
        for acts in self._life.happens:
            self._wait_for_squire()
            for name in acts.split("+"):
                self._act_once_possible(name)
            self._hear()
            self._pass_time()
        self._deliver(self._delayed)
        # What a killed process left is taken up after a while, at the latest when GitHub is asked again.
        for _ in range(_MAX_LOOKS):
            self._pass_time()
            if not self.problems():
                return
            self._squire.clock.forward(_LONG_WAIT_S)

    def act(self, names: str) -> None:
        """Have something happen, or several things, with a + between them."""
        for name in names.split("+"):
            self._act(name)

    def _act(self, name: str) -> None:
        own: dict[str, Callable[[], object]] = {
            "wait": lambda: self._squire.clock.forward(_LONG_WAIT_S),
            "days pass": lambda: self._squire.clock.forward(_DAYS_S),
            "Squire follows": self._squire.follow_what_is_due,
            "retry": self._retry,
            "take up": self._take_up,
            "ask again": self._ask_again,
            "tick stop, or cancel": self._stop,
            "tick stop, if shown": lambda: self._stop(cancels=False),
        }
        if name in own:
            own[name]()
        else:
            ACTS[name](self._forge)

    def _wait_for_squire(self) -> None:
        """Wait, for a bounded time, until Squire is at work no more where a killed process left that for later.

        A person would, too, who sees that it works, or is about to, or that the box they ticked is still ticked.
        """
        for _ in range(_MAX_LOOKS):
            if self._squire.killer.kills == 0 or not self._is_at_work():
                return
            self._squire.clock.forward(_LONG_WAIT_S)
            self._pass_time()

    def _is_at_work(self) -> bool:
        with self._squire.ledger.read() as tx:
            statuses = {task.status for task in list_tasks(tx)}
            outcome = outcomes.get(tx, self._task)
        works = outcome is not None and outcome.follow_state in _AT_WORK
        return works or not statuses.isdisjoint({"ready", "running"}) or any(map(has_tick, dashboards(self._forge)))

    def _act_once_possible(self, name: str) -> None:
        """Have something happen; where a kill has held up what it is done to, once that is there, in a bounded time."""
        for _ in range(_MAX_LOOKS):
            try:
                return self._act(name)
            except AssertionError:
                if self._squire.killer.kills == 0:
                    raise
            self._squire.clock.forward(_LONG_WAIT_S)
            self._pass_time()
        return self._act(name)

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

    def _stop(self, *, cancels: bool = True) -> None:
        """Have a person stop what runs, on the dashboard, or at a terminal where a kill kept that from showing it."""
        if is_shown(self._forge, "stop"):
            ACTS["tick stop"](self._forge)
        elif cancels:
            with self._squire.ledger.write() as tx:
                for task in list_tasks(tx):
                    if task.status == "running":
                        tasks.cancel(tx, task.id, actor="cli:mara", reason="not this")

    def _ask_again(self) -> None:
        """Have a person ask again on GitHub, or at a terminal where no comment comes to us without deliveries."""
        if self._news is News.ASKED_FOR:
            self._take_up()
        else:
            ACTS["retry is asked for"](self._forge)

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

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong now; nothing where all is well."""
        return self._checks.problems(self._task)
