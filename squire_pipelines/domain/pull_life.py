"""The life of a pull request of ours, step by step, from its task's history and from the work on it. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import FollowUpKind, TaskStatus

OF_THE_PULL_REQUEST = frozenset(
    {EventSubject.OUTCOME, EventSubject.CHECKS, EventSubject.REVIEW, EventSubject.FOLLOW, EventSubject.ENDING}
)
"""What an event of a task's history is about that is a step of its pull request's life."""


class _HistoryEvent(Protocol):
    """A row of a task's history."""

    @property
    def subject(self) -> str: ...

    @property
    def before(self) -> str | None: ...

    @property
    def after(self) -> str: ...

    @property
    def actor(self) -> str: ...

    @property
    def reason(self) -> str: ...

    @property
    def trace_id(self) -> str: ...

    @property
    def at(self) -> datetime: ...


class LifeStepKind(StrEnum):
    """What a step is: where it stands, something that was done there, a fact of GitHub's, a task on it, its ending."""

    STATE = "state"
    NOTE = "note"
    FACT = "fact"
    TASK = "task"
    ENDING = "ending"


@dataclass(frozen=True, slots=True)
class WorkStep:
    """A task on the pull request: of Squire itself, or, without a kind, since a person asked.

    `head_sha` is the head that it is to mend or to answer for, and `cause` why it ended as it did.
    """

    task_id: str
    kind: FollowUpKind | None
    status: TaskStatus
    created_at: datetime
    trace_id: str
    ended_at: datetime | None = None
    head_sha: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class LifeStep:
    """A step in the life of a pull request.

    Args:
        at: When it began.
        kind: What it is.
        step: The state, the fact with its value, the work's kind, or the ending.
        reason: In words.
        actor: Who or what did it; empty of a task.
        trace_id: By which its log lines and rows are found.
        lasted_s: How long it stood there, or the task took, in seconds; None of what has no end, or none yet.
        task_id: Of a task.
        status: Of a task, as it is now.
        head_sha: The head that a task is about.
    """

    at: datetime
    kind: LifeStepKind
    step: str
    reason: str
    actor: str
    trace_id: str
    lasted_s: float | None = None
    task_id: str | None = None
    status: TaskStatus | None = None
    head_sha: str | None = None


def life_of(events: Iterable[_HistoryEvent], work: Iterable[WorkStep]) -> tuple[LifeStep, ...]:
    """Return the steps in the order of their times: where it stood for how long, and the tasks that worked on it.

    What was done while it stood somewhere, a note, does not end the time for which it stood there.
    """
    own = [event for event in events if event.subject in OF_THE_PULL_REQUEST]
    stands = [event for event in own if _kind_of(event) is LifeStepKind.STATE]
    steps = [_step_of(event, stands) for event in own]
    for first in _first_stand(own, stands):
        steps.insert(1 + next(place for place, event in enumerate(own) if event.subject == EventSubject.OUTCOME), first)
    for one in work:
        lasted = None if one.ended_at is None else (one.ended_at - one.created_at).total_seconds()
        steps.append(
            LifeStep(
                one.created_at,
                LifeStepKind.TASK,
                one.kind.value if one.kind is not None else "asked for",
                one.cause or "",
                "",
                one.trace_id,
                lasted,
                task_id=one.task_id,
                status=one.status,
                head_sha=one.head_sha,
            )
        )
    return tuple(sorted(steps, key=lambda step: step.at))  # those of one moment in the order of the history


def _first_stand(own: Sequence[_HistoryEvent], stands: Sequence[_HistoryEvent]) -> Iterator[LifeStep]:
    """Yield where it stood from its opening on: no event says so, but the first that it left it."""
    opened = next((event for event in own if event.subject == EventSubject.OUTCOME), None)
    if opened is not None and stands and stands[0].before and stands[0].at >= opened.at:
        lasted = (stands[0].at - opened.at).total_seconds()
        yield LifeStep(opened.at, LifeStepKind.STATE, stands[0].before, "", opened.actor, opened.trace_id, lasted)


def _kind_of(event: _HistoryEvent) -> LifeStepKind:
    if event.subject == EventSubject.FOLLOW:
        return LifeStepKind.NOTE if event.before == event.after else LifeStepKind.STATE
    return LifeStepKind.ENDING if event.subject == EventSubject.ENDING else LifeStepKind.FACT


def _step_of(event: _HistoryEvent, stands: Sequence[_HistoryEvent]) -> LifeStep:
    kind, step, lasted = _kind_of(event), event.after, None
    if kind is LifeStepKind.STATE:
        place = next(index for index, other in enumerate(stands) if other is event)
        later = stands[place + 1 : place + 2]
        lasted = (later[0].at - event.at).total_seconds() if later else None
    elif kind is LifeStepKind.FACT and event.subject != EventSubject.OUTCOME:
        step = f"{event.subject} {event.after}"
    return LifeStep(event.at, kind, step, event.reason, event.actor, event.trace_id, lasted)
