"""History as a fold: what the events of tasks and attempts say that their rows should be. Pure.

An event that does not follow from those before it, by the table of allowed changes, is a problem in one sentence.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.states import attempt_change_allowed, task_change_allowed
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus

_CAUSES = frozenset(str(cause) for cause in Cause)


class Event(Protocol):
    """What a row of `task_events` has. A protocol, so that rows and values of tests will do."""

    @property
    def id(self) -> int:
        """Grows with time."""

    @property
    def task_id(self) -> str:
        """The task."""

    @property
    def attempt_id(self) -> str | None:
        """The attempt, where it is about one."""

    @property
    def subject(self) -> str:
        """`task`, `attempt`, or another thing whose changes are told for people alone."""

    @property
    def before(self) -> str | None:
        """The state that was left; None when it began to exist."""

    @property
    def after(self) -> str:
        """The state that it came to."""

    @property
    def reason(self) -> str:
        """Why."""

    @property
    def at(self) -> datetime:
        """When."""


@dataclass(slots=True)
class ReplayedAttempt:
    """An attempt as its events tell it."""

    task_id: str
    number: int
    status: AttemptStatus
    cause: str | None = None
    ended_at: datetime | None = None


@dataclass(slots=True)
class ReplayedTask:
    """A task as its events tell it."""

    status: TaskStatus
    attempts: int = 0
    ended_at: datetime | None = None
    cancel_requested: bool = False


@dataclass(slots=True)
class Replay:
    """All tasks and attempts as their events tell them, and what in the events does not hold together."""

    tasks: dict[str, ReplayedTask] = field(default_factory=dict)
    attempts: dict[str, ReplayedAttempt] = field(default_factory=dict)
    outcomes: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """State and checks of the pull request of a task; early ledgers told only of changes, not of the beginning."""

    problems: list[str] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        """Let one event happen; those of one task come in the order of their ids."""
        try:
            if event.subject == "task":
                self._task(event)
            elif event.subject == "attempt":
                self._attempt(event)
            elif event.subject == "outcome":
                checks = self.outcomes.get(event.task_id, ("", None))[1]
                self.outcomes[event.task_id] = (PullRequestState(event.after), checks)
            elif event.subject == "checks":
                state = self.outcomes.get(event.task_id, (PullRequestState.OPEN, None))[0]
                self.outcomes[event.task_id] = (state, None if event.after == "unknown" else event.after)
        except ValueError as error:  # a state that there is not
            self._problem(event, str(error))

    def _task(self, event: Event) -> None:
        after = TaskStatus(event.after)
        known = self.tasks.get(event.task_id)
        if known is None:
            if event.before is not None:
                self._problem(event, f"task {event.task_id} was {event.before} before there was an event of it")
            self.tasks[event.task_id] = ReplayedTask(after, ended_at=event.at if after.is_final else None)
            return
        if event.before != known.status:
            self._problem(event, f"task {event.task_id} was {known.status}, not {event.before}")
        elif after is known.status:
            known.cancel_requested = known.cancel_requested or event.reason.startswith("cancel requested")
            return
        elif not task_change_allowed(known.status, after):
            self._problem(event, f"task {event.task_id} cannot go from {known.status} to {after}")
        if known.status.is_final:
            known.cancel_requested = False
        known.status = after
        known.ended_at = event.at if after.is_final else None

    def _attempt(self, event: Event) -> None:
        attempt_id, after = event.attempt_id or "", AttemptStatus(event.after)
        known = self.attempts.get(attempt_id)
        if known is None:
            if event.before is not None:
                self._problem(event, f"attempt {attempt_id} was {event.before} before there was an event of it")
            task = self.tasks.get(event.task_id)
            if task is None:
                self._problem(event, f"attempt {attempt_id} has no task before it")
                task = self.tasks[event.task_id] = ReplayedTask(TaskStatus.RUNNING)
            task.attempts += 1
            known = self.attempts[attempt_id] = ReplayedAttempt(event.task_id, task.attempts, after)
        elif event.before != known.status:
            self._problem(event, f"attempt {attempt_id} was {known.status}, not {event.before}")
        elif not attempt_change_allowed(known.status, after):
            self._problem(event, f"attempt {attempt_id} cannot go from {known.status} to {after}")
        known.status = after
        if after is AttemptStatus.ENDED:
            cause = event.reason.partition(":")[0]
            known.cause = cause if cause in _CAUSES else None
            known.ended_at = event.at

    def _problem(self, event: Event, text: str) -> None:
        self.problems.append(f"event {event.id}: {text}")


def replay(events: Iterable[Event]) -> Replay:
    """Let all `events` happen."""
    result = Replay()
    for event in events:
        result.apply(event)
    return result
