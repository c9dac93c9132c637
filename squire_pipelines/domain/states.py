"""The state machine of tasks and attempts as tables of allowed changes. The ledger and its tests both read them."""

from enum import StrEnum

from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus


class EventSubject(StrEnum):
    """What a row of a task's history is about: the task, one of its attempts, or a fact of its pull request."""

    TASK = "task"
    ATTEMPT = "attempt"
    OUTCOME = "outcome"
    CHECKS = "checks"
    REVIEW = "review"


TASK_TRANSITIONS: frozenset[tuple[TaskStatus, TaskStatus]] = frozenset(
    {
        (TaskStatus.PROPOSED, TaskStatus.READY),
        (TaskStatus.PROPOSED, TaskStatus.CANCELLED),
        (TaskStatus.READY, TaskStatus.CANCELLED),
        (TaskStatus.READY, TaskStatus.RUNNING),
        (TaskStatus.RUNNING, TaskStatus.READY),
        (TaskStatus.RUNNING, TaskStatus.SUCCEEDED),
        (TaskStatus.RUNNING, TaskStatus.FAILED),
        (TaskStatus.RUNNING, TaskStatus.CANCELLED),
        (TaskStatus.FAILED, TaskStatus.READY),
        (TaskStatus.CANCELLED, TaskStatus.READY),
    }
)

ATTEMPT_TRANSITIONS: frozenset[tuple[AttemptStatus, AttemptStatus]] = frozenset(
    {
        (AttemptStatus.QUEUED, AttemptStatus.RUNNING),
        (AttemptStatus.QUEUED, AttemptStatus.ENDED),
        (AttemptStatus.RUNNING, AttemptStatus.PUBLISHING),
        (AttemptStatus.RUNNING, AttemptStatus.ENDED),
        (AttemptStatus.PUBLISHING, AttemptStatus.ENDED),
    }
)


def task_change_allowed(before: TaskStatus, after: TaskStatus) -> bool:
    """Whether a task may go from `before` to `after`."""
    return (before, after) in TASK_TRANSITIONS


def attempt_change_allowed(before: AttemptStatus, after: AttemptStatus) -> bool:
    """Whether an attempt may go from `before` to `after`."""
    return (before, after) in ATTEMPT_TRANSITIONS
