"""The life of a pull request of ours, step by step, from its task's history and from the work on it. Pure."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import FollowUpKind, TaskStatus

_SUBJECTS = frozenset({EventSubject.OUTCOME, EventSubject.FOLLOW, EventSubject.ENDING})


class _HistoryEvent(Protocol):
    """A row of a task's history."""

    @property
    def subject(self) -> str: ...

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


@dataclass(frozen=True, slots=True)
class WorkStep:
    """A task on the pull request: of Squire itself, or, without a kind, since a person asked."""

    task_id: str
    kind: FollowUpKind | None
    status: TaskStatus
    created_at: datetime
    trace_id: str


@dataclass(frozen=True, slots=True)
class LifeStep:
    """A step in the life of a pull request; `lasted_s` is None for what is no state, or holds until now."""

    at: datetime
    step: str
    reason: str
    actor: str
    trace_id: str
    lasted_s: float | None = None


def life_of(events: Iterable[_HistoryEvent], work: Iterable[WorkStep]) -> tuple[LifeStep, ...]:
    """Return the steps in the order of their times: where it stood for how long, and the tasks that worked on it."""
    own = [event for event in events if event.subject in _SUBJECTS]
    stands = [event for event in own if event.subject == EventSubject.FOLLOW]
    lasted = {id(event): (later.at - event.at).total_seconds() for event, later in itertools.pairwise(stands)}
    steps = [
        LifeStep(event.at, event.after, event.reason, event.actor, event.trace_id, lasted.get(id(event)))
        for event in own
    ]
    for one in work:
        kind = f"{one.kind}" if one.kind is not None else "asked for"
        steps.append(LifeStep(one.created_at, f"task {one.task_id}", f"{kind}: {one.status}", "", one.trace_id))
    return tuple(sorted(steps, key=lambda step: step.at))
