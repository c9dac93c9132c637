"""Reservations in the ledger: taken with an attempt, kept up, settled with it, released when nobody does."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from squire_pipelines.domain.budgets import Amount, BudgetLimits, Limit, Purpose, Scope, day_of
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import attempts, budgets, task_dispatch, tasks
from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts as attempt_table
from squire_pipelines.ledger.tables import budgets as budget_table
from squire_pipelines.ledger.tables import model_calls
from squire_pipelines.ledger.waiting import FOR_ITS_START, WaitKind
from tests.support.ledgers import REPOSITORY, RETRY, TRACE, Clock, add_task, add_tasks, claim, reservation, settle, spec

LIMITS = BudgetLimits(
    attempt=Limit(usd=2, tokens=1000), task=Limit(usd=5), day=Limit(usd=10), month=Limit(tokens=100_000)
)


def start(ledger: Ledger, limits: BudgetLimits = LIMITS) -> tuple[attempts.Attempt, ...]:
    with ledger.write() as tx:
        return task_dispatch.dispatch(
            tx, max_concurrent=100, max_per_repository=100, claim_deadline_s=60, limits_of=lambda _: limits
        )


def call(ledger: Ledger, attempt: attempts.Attempt, usd: float | None, tokens: int, call_id: str | None = None) -> bool:
    row = ModelCallRow(
        purpose="agent",
        model="small",
        ok=True,
        input_tokens=tokens,
        output_tokens=0,
        latency_s=1,
        cost_usd=usd,
        trace_id=TRACE,
        attempt_id=attempt.id,
        call_id=call_id,
    )
    with ledger.write() as tx:
        return record_model_call(tx, row)


def used(ledger: Ledger, scope: Scope = Scope.DAY, limits: BudgetLimits = LIMITS, task_id: str | None = None) -> Amount:
    with ledger.read() as tx:
        return budgets.used(tx, limits, repository=REPOSITORY, task_id=task_id)[scope]


def test_dispatch_starts_only_what_fits_and_takes_its_reservation(ledger: Ledger) -> None:
    ids = add_tasks(ledger, *(spec(f"k{number}") for number in range(8)))
    started = start(ledger)
    assert len(started) == 5  # of 2 USD each, in a day of 10
    assert used(ledger) == Amount(10, 5000)
    assert start(ledger) == ()
    waiting = set(ids) - {attempt.task_id for attempt in started}
    with ledger.read() as tx:
        blocks = budgets.blocked_by_budget(tx, lambda _: LIMITS)
        for task_id in waiting:
            reason = tasks.waiting_reason(tx, tasks.get(tx, task_id), LIMITS)
            assert reason is not None
            assert (reason.kind, reason.text) == (WaitKind.BUDGET, str(blocks.why(REPOSITORY, task_id)))
            assert reason.until == day_of(tx.now) + timedelta(days=1)
            assert "budget of the day (10.00 of 10.00 USD" in reason.text
            assert tasks.waiting_reason(tx, tasks.get(tx, task_id)) == FOR_ITS_START


def test_the_end_of_an_attempt_puts_what_it_spent_in_the_place_of_its_reservation(ledger: Ledger) -> None:
    add_task(ledger)
    (queued,) = start(ledger)
    claimed = claim(ledger, queued.id)
    call(ledger, claimed, 0.25, 100)
    call(ledger, claimed, None, 50)
    settle(ledger, claimed, Cause.COMPLETED)
    assert used(ledger) == Amount(0.25, 150)
    with ledger.read() as tx:
        row = reservation(tx, claimed.id)
        attempt = tx.execute(select(attempt_table).where(attempt_table.c.id == claimed.id)).one()
    assert row is not None
    assert (row.state, row.spent_requests, row.reserved) == ("settled", 2, Amount(2, 1000))
    assert (attempt.cost_usd, attempt.input_tokens) == (0.25, 150)


def test_a_checkpoint_of_fewer_requests_is_an_old_one_and_a_call_that_is_over_counts_what_it_used(
    ledger: Ledger,
) -> None:
    add_task(ledger)
    (queued,) = start(ledger)
    reports = ((Amount(4, 800), 2), (Amount(3, 500), 2), (Amount(1, 100), 1), (Amount(0, 600), 1))
    for spent, requests in reports:
        with ledger.write() as tx:
            budgets.checkpoint(tx, queued.id, spent, requests)
    with ledger.read() as tx:
        row = reservation(tx, queued.id)
    assert row is not None
    assert (row.spent, row.spent_requests) == (Amount(3, 500), 2)
    assert used(ledger) == Amount(3, 1000)  # more dollars than were reserved, fewer tokens
    attempt = claim(ledger, queued.id)
    settle(ledger, attempt, Cause.TIMEOUT)
    with ledger.write() as tx:
        budgets.checkpoint(tx, queued.id, Amount(9, 9), 9)
    assert used(ledger) == Amount()


def test_a_reservation_that_is_repeated_is_taken_once(ledger: Ledger) -> None:
    for _ in range(2):
        with ledger.write() as tx:
            short = budgets.reserve(tx, "plan:a", Purpose.PLAN, LIMITS, repository=REPOSITORY, trace_id=TRACE)
        assert short is None
    assert used(ledger) == Amount(1, 10_000)


def test_what_the_reaper_ends_is_settled_with_the_calls_that_are_known(ledger: Ledger, clock: Clock) -> None:
    add_task(ledger)
    (queued,) = start(ledger)
    attempt = claim(ledger, queued.id, lease_s=60)
    call(ledger, attempt, 0.5, 10)
    clock.forward(61)
    with ledger.write() as tx:
        assert attempts.reap(tx, attempt.id, retry=RETRY, message="gone") is not None
    assert used(ledger) == Amount(0.5, 10)


def test_orphans_are_released(ledger: Ledger, clock: Clock) -> None:
    with ledger.write() as tx:
        budgets.reserve(tx, "plan:a", Purpose.PLAN, LIMITS, repository=REPOSITORY, trace_id=TRACE)
        budgets.reserve(tx, "plan:b", Purpose.PLAN, LIMITS, repository=REPOSITORY, trace_id=TRACE)
        budgets.settle_plan(tx, "plan:b", Amount(0.1, 5), 1)
    with ledger.write() as tx:
        assert budgets.release_orphans(tx, plan_s=60) == 0
    clock.forward(61)
    with ledger.write() as tx:
        assert budgets.release_orphans(tx, plan_s=60) == 1
        assert budgets.release_orphans(tx, plan_s=60) == 0
    assert used(ledger) == Amount(1.1, 10_005)  # nobody knows what it cost: all of it counts


def test_an_open_reservation_of_an_ended_attempt_is_settled(ledger: Ledger) -> None:
    add_task(ledger)
    (queued,) = start(ledger)
    attempt = claim(ledger, queued.id)
    settle(ledger, attempt, Cause.COMPLETED)
    with ledger.write() as tx:
        tx.execute(budget_table.update().values(state="open"))
        assert budgets.release_orphans(tx, plan_s=60) == 1
    assert used(ledger) == Amount()


def test_days_and_months_begin_anew(ledger: Ledger, clock: Clock) -> None:
    tight = BudgetLimits(attempt=Limit(usd=2), day=Limit(usd=2), month=Limit(usd=4))
    add_tasks(ledger, *(spec(f"k{number}") for number in range(4)))
    assert len(start(ledger, tight)) == 1
    clock.forward(timedelta(days=1).total_seconds())
    assert len(start(ledger, tight)) == 1
    clock.forward(timedelta(days=1).total_seconds())
    assert start(ledger, tight) == ()
    clock.forward(timedelta(days=31).total_seconds())
    assert len(start(ledger, tight)) == 1


def test_a_task_whose_budget_is_used_up_does_not_hide_others(ledger: Ledger, clock: Clock) -> None:
    tight = BudgetLimits(attempt=Limit(usd=2), task=Limit(usd=3))
    first = add_task(ledger)
    (queued,) = start(ledger, tight)
    claimed = claim(ledger, queued.id)
    call(ledger, claimed, 1.5, 10)
    settle(ledger, claimed, Cause.PROVIDER_ERROR)
    clock.forward(3600)
    second = add_task(ledger)
    with ledger.write() as tx:
        started = task_dispatch.dispatch(
            tx, max_concurrent=1, max_per_repository=1, claim_deadline_s=60, limits_of=lambda _: tight
        )
        held_back = budgets.blocked_by_budget(tx, lambda _: tight)
    assert [attempt.task_id for attempt in started] == [second]
    assert "budget of the task" in str(held_back.why(REPOSITORY, first))
    with ledger.read() as tx:
        assert tasks.get(tx, first).status is TaskStatus.READY


def test_a_repository_without_room_does_not_hide_others(ledger: Ledger) -> None:
    for _ in range(3):
        add_task(ledger)
    other = add_task(ledger, repository="acme/other")
    full = BudgetLimits(attempt=Limit(usd=1), repository=Limit(usd=1))
    with ledger.write() as tx:
        plan = BudgetLimits(plan=Limit(usd=1))
        budgets.reserve(tx, "plan:x", Purpose.PLAN, plan, repository=REPOSITORY, trace_id=TRACE)
        started = task_dispatch.dispatch(
            tx, max_concurrent=1, max_per_repository=1, claim_deadline_s=60, limits_of=lambda _: full
        )
    assert [attempt.task_id for attempt in started] == [other]


def test_a_call_is_kept_once(ledger: Ledger) -> None:
    add_task(ledger)
    (queued,) = start(ledger)
    assert call(ledger, queued, 1, 1, "a:1")
    assert not call(ledger, queued, 1, 1, "a:1")
    assert call(ledger, queued, 1, 1)
    with ledger.read() as tx:
        assert len(tx.execute(select(model_calls)).all()) == 2


def test_levels_say_how_budgets_stand(ledger: Ledger) -> None:
    limits = BudgetLimits(attempt=Limit(usd=2), repository=Limit(usd=4), day=Limit(usd=10), month=Limit(usd=100))
    with ledger.write() as tx:
        for number in range(2):
            budgets.reserve(
                tx,
                f"plan:{number}",
                Purpose.PLAN,
                BudgetLimits(plan=Limit(usd=2)),
                repository=REPOSITORY,
                trace_id=TRACE,
            )
        levels = budgets.levels(tx, limits, lambda _: limits, [REPOSITORY, "acme/idle"])
    shares = {(level.scope, level.repository): (level.share, level.is_used_up) for level in levels}
    assert shares == {
        (Scope.DAY, None): (pytest.approx(0.4), False),
        (Scope.MONTH, None): (pytest.approx(0.04), False),
        (Scope.REPOSITORY, REPOSITORY): (pytest.approx(1.0), True),
        (Scope.REPOSITORY, "acme/idle"): (0.0, False),
    }


def test_reservations_are_listed_newest_first(ledger: Ledger, clock: Clock) -> None:
    for name in ("plan:a", "plan:b"):
        with ledger.write() as tx:
            budgets.reserve(tx, name, Purpose.PLAN, LIMITS, repository=REPOSITORY, trace_id=TRACE)
        clock.forward(1)
    with ledger.write() as tx:
        budgets.settle_plan(tx, "plan:b", Amount(), 0)
        assert [row.id for row in budgets.reservations(tx)] == ["plan:b", "plan:a"]
        assert [row.id for row in budgets.reservations(tx, open_only=True)] == ["plan:a"]
