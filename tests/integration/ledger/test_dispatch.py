"""Dispatch: whose turn it is, how many at once, and what it never does twice."""

import threading

import pytest
from sqlalchemy import select

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import AttemptStatus, Priority, TaskStatus
from squire_pipelines.ledger import attempts, tasks
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts as table
from tests.support.ledgers import TRACE, Clock, add_task, add_tasks, claim, dispatch, settle, spec


def test_a_ready_task_gets_its_first_attempt_with_an_id_that_follows_from_the_task(
    ledger: Ledger, clock: Clock
) -> None:
    task_id = add_task(ledger)
    (attempt,) = dispatch(ledger, deadline_s=120)
    assert (attempt.id, attempt.number, attempt.status) == (f"{task_id}-1", 1, AttemptStatus.QUEUED)
    assert (attempt.claim_until - clock.now).total_seconds() == 120
    assert (attempt.trace_id, attempt.run_id, attempt.lease_token) == (TRACE, None, None)
    with ledger.read() as tx:
        task = tasks.get(tx, task_id)
        assert attempts.of_task(tx, task_id) == (attempt,)
        assert attempts.queued(tx) == (attempt,)
    assert (task.status, task.attempts) == (TaskStatus.RUNNING, 1)
    assert dispatch(ledger) == ()


@pytest.mark.parametrize(("concurrent", "per_repository", "started"), [(5, 100, 5), (100, 2, 6), (4, 2, 4), (0, 5, 0)])
def test_slots_are_never_exceeded(ledger: Ledger, concurrent: int, per_repository: int, started: int) -> None:
    for repository in ("acme/a", "acme/b", "acme/c"):
        add_tasks(ledger, *(spec(f"k{number}") for number in range(4)), repository=repository)
    assert len(dispatch(ledger, concurrent=concurrent, per_repository=per_repository)) == started
    assert dispatch(ledger, concurrent=concurrent, per_repository=per_repository) == ()


def test_a_slot_is_free_again_when_an_attempt_has_ended(ledger: Ledger) -> None:
    add_tasks(ledger, spec("a"), spec("b"))
    (first,) = dispatch(ledger, concurrent=1)
    assert dispatch(ledger, concurrent=1) == ()
    settle(ledger, claim(ledger, first.id), Cause.COMPLETED)
    assert len(dispatch(ledger, concurrent=1)) == 1


def test_lowered_limits_hold_for_what_is_started_from_then_on(ledger: Ledger) -> None:
    add_tasks(ledger, *(spec(f"k{number}") for number in range(5)))
    assert len(dispatch(ledger, concurrent=3)) == 3
    assert dispatch(ledger, concurrent=2) == ()
    assert dispatch(ledger, concurrent=10, per_repository=1) == ()


def test_the_most_urgent_goes_first_and_then_the_one_that_waited_longest(ledger: Ledger, clock: Clock) -> None:
    late = add_task(ledger, priority=Priority.LOW)
    clock.forward(1)
    second = add_task(ledger)
    clock.forward(1)
    third = add_task(ledger)
    clock.forward(1)
    first = add_task(ledger, priority=Priority.CRITICAL)
    order = [dispatch(ledger, concurrent=number)[0].task_id for number in (1, 2, 3, 4)]
    assert order == [first, second, third, late]


def test_a_task_that_is_tried_again_lets_fresh_ones_of_its_priority_go_first(ledger: Ledger, clock: Clock) -> None:
    failing = add_task(ledger)
    settle(ledger, claim(ledger, dispatch(ledger)[0].id), Cause.LOST)
    clock.forward(1000)
    fresh = add_task(ledger)
    assert [attempt.task_id for attempt in dispatch(ledger, concurrent=1)] == [fresh]
    assert [attempt.task_id for attempt in dispatch(ledger, concurrent=2)] == [failing]


def test_a_repository_with_a_very_long_queue_does_not_hide_the_others(ledger: Ledger, clock: Clock) -> None:
    add_tasks(ledger, *(spec(f"k{number}", priority=Priority.CRITICAL) for number in range(60)), repository="acme/a")
    clock.forward(1)
    other = add_task(ledger, repository="acme/b", priority=Priority.LOW)
    first = dispatch(ledger, concurrent=5, per_repository=1)
    assert len(first) == 2
    assert first[1].task_id == other
    settle(ledger, claim(ledger, first[0].id), Cause.COMPLETED)
    (next_one,) = dispatch(ledger, concurrent=5, per_repository=1)
    assert next_one.repository == "acme/a"


def test_a_task_waits_until_its_next_try_is_due(ledger: Ledger, clock: Clock) -> None:
    add_task(ledger)
    settled = settle(ledger, claim(ledger, dispatch(ledger)[0].id), Cause.PROVIDER_ERROR)
    assert settled.not_before is not None
    clock.now = settled.not_before
    clock.forward(-0.001)
    assert dispatch(ledger) == ()
    clock.now = settled.not_before
    assert [attempt.number for attempt in dispatch(ledger)] == [2]


def test_queued_attempts_are_named_until_their_claim_deadline(ledger: Ledger, clock: Clock) -> None:
    add_tasks(ledger, spec("a"), spec("b"))
    first, second = dispatch(ledger, deadline_s=120)
    claim(ledger, first.id)
    clock.forward(120)
    with ledger.read() as tx:
        assert [attempt.id for attempt in attempts.queued(tx)] == [second.id]
    clock.forward(1)
    with ledger.read() as tx:
        assert attempts.queued(tx) == ()


def test_a_dependency_on_several_tasks_waits_for_all(ledger: Ledger) -> None:
    a, b, both = add_tasks(ledger, spec("a"), spec("b"), spec("both", depends_on=("a", "b")))
    first, second = dispatch(ledger)
    settle(ledger, claim(ledger, first.id), Cause.COMPLETED)
    assert dispatch(ledger) == ()
    settle(ledger, claim(ledger, second.id), Cause.COMPLETED)
    assert [attempt.task_id for attempt in dispatch(ledger)] == [both]
    assert {first.task_id, second.task_id} == {a, b}


def test_two_dispatchers_at_once_start_each_task_once(ledger: Ledger) -> None:
    add_tasks(ledger, *(spec(f"k{number}") for number in range(10)))
    gate = threading.Barrier(4)
    started: list[str] = []

    def run() -> None:
        gate.wait(10)
        started.extend(attempt.id for attempt in dispatch(ledger, concurrent=7))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(started) == len(set(started)) == 7
    with ledger.read() as tx:
        assert len(tx.execute(select(table.c.id)).all()) == 7
