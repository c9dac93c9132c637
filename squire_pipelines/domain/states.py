"""The state machine of tasks and attempts as tables of allowed changes. The ledger and its tests both read them."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus


class EventSubject(StrEnum):
    """What a row of a task's history is about.

    The task's state, one of its attempts, a fact of its pull request, its place in the queue, where its pull request
    stands, or how that ended.
    """

    TASK = "task"
    ATTEMPT = "attempt"
    OUTCOME = "outcome"
    CHECKS = "checks"
    REVIEW = "review"
    QUEUE = "queue"
    FOLLOW = "follow"
    ENDING = "ending"


TASK_TRANSITIONS: Mapping[TaskStatus, frozenset[TaskStatus]] = MappingProxyType(
    {
        TaskStatus.PROPOSED: frozenset({TaskStatus.READY, TaskStatus.CANCELLED}),
        TaskStatus.READY: frozenset({TaskStatus.RUNNING, TaskStatus.CANCELLED}),
        TaskStatus.RUNNING: frozenset(
            {TaskStatus.READY, TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED}
        ),
        TaskStatus.SUCCEEDED: frozenset(),
        TaskStatus.FAILED: frozenset({TaskStatus.READY}),
        TaskStatus.CANCELLED: frozenset({TaskStatus.READY}),
    }
)

ATTEMPT_TRANSITIONS: Mapping[AttemptStatus, frozenset[AttemptStatus]] = MappingProxyType(
    {
        AttemptStatus.QUEUED: frozenset({AttemptStatus.RUNNING, AttemptStatus.ENDED}),
        AttemptStatus.RUNNING: frozenset({AttemptStatus.PUBLISHING, AttemptStatus.ENDED}),
        AttemptStatus.PUBLISHING: frozenset({AttemptStatus.ENDED}),
        AttemptStatus.ENDED: frozenset(),
    }
)


ADOPTED = "adopted"
"""The reason of an attempt's event that changes no state: another run goes on with it, whose own has died."""


def task_change_allowed(before: TaskStatus, after: TaskStatus) -> bool:
    """Return whether a task may go from `before` to `after`."""
    return after in TASK_TRANSITIONS[before]


def attempt_change_allowed(before: AttemptStatus, after: AttemptStatus) -> bool:
    """Return whether an attempt may go from `before` to `after`."""
    return after in ATTEMPT_TRANSITIONS[before]
