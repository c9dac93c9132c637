"""The order in which ready tasks are started: by priority, which grows with the wait so that nothing starves. Pure.

Whether a task may be started at all (budgets, slots, dependencies) is not decided here.
"""

from datetime import datetime, timedelta
from typing import Protocol

from squire_pipelines.domain.tasks import Priority


class _ReadyTask(Protocol):
    """A ready task's row. `ready_at` is when it became ready the last time; `start_requested_at` is a person's word."""

    @property
    def id(self) -> str: ...

    @property
    def priority(self) -> int: ...

    @property
    def attempts(self) -> int: ...

    @property
    def ready_at(self) -> datetime | None: ...

    @property
    def created_at(self) -> datetime: ...

    @property
    def start_requested_at(self) -> datetime | None: ...


def ageing_moments(now: datetime, step_s: float) -> tuple[datetime, ...]:
    """Return the moments by which waits are counted: a task counts one priority higher for each since which it waits.

    Args:
        now: The ledger's time.
        step_s: How long a task waits for each priority that it rises, in seconds.
    """
    return tuple(now - timedelta(seconds=step_s * steps) for steps in range(1, max(Priority) + 1))


def urgency(task: _ReadyTask, moments: tuple[datetime, ...]) -> tuple[int, int, int, datetime, str]:
    """Return what orders ready tasks, the smallest first.

    First comes what a person has started. Then the priority decides, less one for each of the `moments` since which
    the task waits; then tasks that were not tried yet, unless one that was tried has waited for a step; then the one
    that waits longest. So from `max(priority, 1) * step_s` after a task became ready, nothing that becomes ready later
    goes before it, but for what a person starts: those alone that became ready before it do, however many others
    arrive.

    Args:
        task: The task.
        moments: As `ageing_moments` gives them.
    """
    since = task.ready_at or task.created_at
    steps = sum(since <= moment for moment in moments)
    rank = max(0, task.priority - steps)
    return int(task.start_requested_at is None), rank, int(task.attempts > 0 and not steps), since, task.id
