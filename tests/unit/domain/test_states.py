"""The tables of allowed changes of state."""

from itertools import product

import pytest

from squire_pipelines.domain.states import (
    ATTEMPT_TRANSITIONS,
    TASK_TRANSITIONS,
    attempt_change_allowed,
    task_change_allowed,
)
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus


@pytest.mark.parametrize(("before", "after"), list(product(TaskStatus, TaskStatus)))
def test_a_task_changes_only_as_the_table_says(before: TaskStatus, after: TaskStatus) -> None:
    allowed = {
        "proposed": {"ready", "cancelled"},
        "ready": {"running", "cancelled"},
        "running": {"ready", "succeeded", "failed", "cancelled"},
        "succeeded": set(),
        "failed": {"ready"},
        "cancelled": {"ready"},
    }
    assert task_change_allowed(before, after) == (after in allowed[before])


@pytest.mark.parametrize(("before", "after"), list(product(AttemptStatus, AttemptStatus)))
def test_an_attempt_changes_only_as_the_table_says(before: AttemptStatus, after: AttemptStatus) -> None:
    allowed = {
        "queued": {"running", "ended"},
        "running": {"publishing", "ended"},
        "publishing": {"ended"},
        "ended": set(),
    }
    assert attempt_change_allowed(before, after) == (after in allowed[before])


def test_every_state_can_be_reached_and_an_attempt_can_always_end() -> None:
    reached = {TaskStatus.PROPOSED}
    for _ in TaskStatus:
        reached |= {after for before in reached for after in TASK_TRANSITIONS[before]}
    assert reached == set(TaskStatus)
    for status in set(AttemptStatus) - {AttemptStatus.ENDED}:
        assert AttemptStatus.ENDED in ATTEMPT_TRANSITIONS[status]
