"""Two transactions at once on Postgres, where they do not simply follow one another as on SQLite."""

import threading
from collections.abc import Callable

import pytest

from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.domain.tasks import Priority, TaskStatus
from squire_pipelines.errors import LeaseLostError, StateConflictError
from squire_pipelines.ledger import attempts, collections, deliveries, plans, task_dispatch, tasks
from squire_pipelines.ledger.store import Ledger, Transaction
from tests.support.ledgers import (
    ALL_APPROVED,
    REPOSITORY,
    RETRY,
    TRACE,
    Clock,
    add_task,
    add_tasks,
    admission,
    claim,
    dispatch,
    issue,
    list_tasks,
    plan,
    reading,
    rows_as_stored,
    rows_as_told_by_events,
    settle,
    spec,
    start_attempt,
    token_of,
)

DONE = Ending(cause=Cause.COMPLETED, message="done")


pytestmark = pytest.mark.usefixtures("postgres")


@pytest.fixture
def database() -> str:
    """Only Postgres lets two transactions write at once."""
    return "postgres"


def while_open(
    ledger: Ledger, first: Callable[[Transaction], object], second: Callable[[Transaction], object]
) -> list[object]:
    """Do `first`, and begin `second` in another thread before `first` is committed; what `second` gave or raised."""
    came: list[object] = []

    def other() -> None:
        try:
            with ledger.write() as tx:
                came.append(second(tx))
        except (StateConflictError, LeaseLostError) as error:
            came.append(error)

    thread = threading.Thread(target=other)
    with ledger.write() as tx:
        first(tx)
        thread.start()
        thread.join(0.3)  # it waits for us, or has already ended; either order must do
    thread.join(30)
    assert came
    return came


def start_all(tx: Transaction) -> tuple[attempts.Attempt, ...]:
    return task_dispatch.dispatch(tx, max_concurrent=10, max_per_repository=10, claim_deadline_s=60)


def test_a_task_that_is_cancelled_while_dispatch_looks_is_passed_over(ledger: Ledger) -> None:
    first, second = add_tasks(ledger, spec("a"), spec("b"))
    (started,) = while_open(ledger, lambda tx: tasks.cancel(tx, first, actor="ann"), start_all)
    assert isinstance(started, tuple)
    assert [attempt.task_id for attempt in started] == [second]
    assert rows_as_told_by_events(ledger) == rows_as_stored(ledger)


def test_two_dispatchers_at_once_keep_to_the_slots_together(ledger: Ledger) -> None:
    add_task(ledger)

    def start_one(tx: Transaction) -> tuple[attempts.Attempt, ...]:
        return task_dispatch.dispatch(tx, max_concurrent=1, max_per_repository=1, claim_deadline_s=60)

    def start_one_and_hear_of_something_urgent(tx: Transaction) -> None:
        start_one(tx)
        add_task(ledger, priority=Priority.CRITICAL)

    assert while_open(ledger, start_one_and_hear_of_something_urgent, start_one) == [()]


def test_a_cancel_that_meets_a_dispatch_is_told_to_look_again(ledger: Ledger) -> None:
    task_id = add_task(ledger)
    (error,) = while_open(ledger, start_all, lambda tx: tasks.cancel(tx, task_id, actor="ann"))
    assert isinstance(error, StateConflictError)
    with ledger.read() as tx:
        assert tasks.get(tx, task_id).status is TaskStatus.RUNNING


def test_a_cancel_that_meets_the_end_of_an_attempt_is_told_to_look_again(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    lost = Ending(cause=Cause.LOST, message="gone")
    (error,) = while_open(
        ledger,
        lambda tx: attempts.settle(tx, attempt.id, token_of(attempt), lost, retry=RETRY, actor="run"),
        lambda tx: tasks.cancel(tx, attempt.task_id, actor="ann"),
    )
    assert isinstance(error, StateConflictError)
    assert "just stopped" in error.message
    with ledger.read() as tx:
        assert tasks.get(tx, attempt.task_id).cancel_requested_at is None


def test_two_claims_at_once_give_one_holder(ledger: Ledger) -> None:
    add_task(ledger)
    (queued,) = dispatch(ledger)
    (error,) = while_open(
        ledger,
        lambda tx: attempts.claim(tx, queued.id, run_id="run-a", lease_s=60),
        lambda tx: attempts.claim(tx, queued.id, run_id="run-b", lease_s=60),
    )
    assert isinstance(error, StateConflictError)
    with ledger.read() as tx:
        assert attempts.get(tx, queued.id).run_id == "run-a"


def test_a_run_that_comes_back_while_it_is_reaped_gets_nothing(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger, run_id="run-a")
    clock.forward(61)
    (error,) = while_open(
        ledger,
        lambda tx: attempts.reap(tx, attempt.id, retry=RETRY, message="gone"),
        lambda tx: attempts.claim(tx, attempt.id, run_id="run-a", lease_s=60),
    )
    assert isinstance(error, StateConflictError)
    with ledger.read() as tx:
        assert attempts.get(tx, attempt.id).lease_token is None


def test_an_attempt_that_settles_while_the_reaper_looks_is_left_alone(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger)
    clock.forward(61)
    came = while_open(
        ledger,
        lambda tx: attempts.settle(tx, attempt.id, token_of(attempt), DONE, retry=RETRY, actor="run"),
        lambda tx: attempts.reap(tx, attempt.id, retry=RETRY, message="gone"),
    )
    assert came == [None]
    with ledger.read() as tx:
        assert attempts.get(tx, attempt.id).cause == Cause.COMPLETED


def test_a_lease_that_is_prolonged_while_the_reaper_looks_holds(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger)
    clock.forward(61)
    came = while_open(
        ledger,
        lambda tx: attempts.heartbeat(tx, attempt.id, token_of(attempt), lease_s=60),
        lambda tx: attempts.reap(tx, attempt.id, retry=RETRY, message="gone"),
    )
    assert came == [None]
    settle(ledger, attempt, Cause.COMPLETED)


def test_a_plan_that_is_admitted_twice_at_once_becomes_tasks_once(ledger: Ledger) -> None:
    with ledger.write() as tx:
        saved = plans.save(tx, plan(spec("a")), (), trace_id=TRACE, run_id=None)

    def admit(tx: Transaction) -> tuple[str, ...]:
        return plans.admit(tx, saved.id, admission(ALL_APPROVED, 3))

    assert while_open(ledger, admit, admit) == [()]
    with ledger.read() as tx:
        assert [task.status for task in list_tasks(tx)] == [TaskStatus.READY]


def test_two_readings_at_once_both_count(ledger: Ledger) -> None:
    def read(tx: Transaction) -> int:
        return collections.record(tx, reading(issue(1)), trace_id=TRACE, run_id=None).changed

    assert while_open(ledger, read, read) == [0]
    with ledger.read() as tx:
        assert len(collections.active_signals(tx, REPOSITORY)) == 1


def test_two_takers_at_once_take_a_delivery_once(ledger: Ledger) -> None:
    with ledger.write() as tx:
        deliveries.request_collection(tx, [REPOSITORY], source="cli", trace_id=TRACE)

    def take(tx: Transaction) -> tuple[deliveries.DueDelivery, ...]:
        return deliveries.take_for_collection(tx, deliveries.RequestRule(60, 5))

    assert while_open(ledger, take, take) == [()]


def test_a_taker_does_not_wait_for_what_another_holds(ledger: Ledger) -> None:
    if ledger.is_sqlite:
        return  # one writer at a time, by nature
    with ledger.write() as tx:
        deliveries.request_collection(tx, ["acme/one", "acme/two"], source="cli", trace_id=TRACE)
    with ledger.write() as first, ledger.write() as second:
        (delivery,) = deliveries.take_for_collection(first, deliveries.RequestRule(60, 5), limit=1)
        (other,) = deliveries.take_for_collection(second, deliveries.RequestRule(60, 5))
        assert delivery.id != other.id


def test_two_endings_of_one_attempt_leave_one(ledger: Ledger) -> None:
    attempt = claim(ledger, start_attempt(ledger).id)

    def end(tx: Transaction) -> object:
        return attempts.settle(tx, attempt.id, token_of(attempt), DONE, retry=RETRY, actor="run")

    (error,) = while_open(ledger, end, end)
    assert isinstance(error, LeaseLostError)
    assert rows_as_told_by_events(ledger) == rows_as_stored(ledger)
