"""What the rows of tasks and attempts should be by their history, worked out event by event. Pure.

An event that does not follow from those before it, by the table of allowed changes, is a problem in one sentence.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Row

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.states import ADOPTED, EventSubject, attempt_change_allowed, task_change_allowed
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.ledger.outcomes import UNKNOWN

Event: TypeAlias = Row[Any]
"""A row of `task_events`."""

_CAUSES = frozenset(str(cause) for cause in Cause)


@dataclass(slots=True)
class ReplayedAttempt:
    """An attempt as its history has it."""

    task_id: str
    number: int
    status: AttemptStatus
    cause: str | None = None
    ended_at: datetime | None = None


@dataclass(slots=True)
class ReplayedTask:
    """A task as its history has it."""

    status: TaskStatus
    attempts: int = 0
    ended_at: datetime | None = None
    cancel_requested: bool = False


@dataclass(slots=True)
class Replay:
    """All tasks and attempts as their history has them, and the problems in it."""

    tasks: dict[str, ReplayedTask] = field(default_factory=dict)
    attempts: dict[str, ReplayedAttempt] = field(default_factory=dict)
    outcomes: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """State and checks of a task's pull request. Early ledgers recorded only changes, not the beginning."""

    problems: list[str] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        """Apply one event; those of one task come in the order of their ids."""
        state, checks = self.outcomes.get(event.task_id, (PullRequestState.OPEN, None))
        try:
            match event.subject:
                case EventSubject.TASK:
                    self._task(event)
                case EventSubject.ATTEMPT:
                    self._attempt(event)
                case EventSubject.OUTCOME:
                    self.outcomes[event.task_id] = (PullRequestState(event.after), checks)
                case EventSubject.CHECKS:
                    self.outcomes[event.task_id] = (state, None if event.after == UNKNOWN else event.after)
        except ValueError as error:  # no such state
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
        elif after is known.status and event.reason == ADOPTED and after is not AttemptStatus.ENDED:
            return
        elif not attempt_change_allowed(known.status, after):
            self._problem(event, f"attempt {attempt_id} cannot go from {known.status} to {after}")
        known.status = after
        if after is AttemptStatus.ENDED:
            cause = event.reason.partition(":")[0]
            known.cause = cause if cause in _CAUSES else None
            known.ended_at = event.at

    def _problem(self, event: Event, text: str) -> None:
        self.problems.append(f"event {event.id}: {text}")
