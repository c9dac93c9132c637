"""What a provider may cost in a day: reserved with an attempt, settled with it, the same for every process."""

from collections.abc import Mapping
from datetime import timedelta

from squire_pipelines.domain.budgets import Amount, BudgetLimits, Limit, Purpose
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import Priority
from squire_pipelines.ledger import attempts, budgets, provider_budgets, task_dispatch
from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.store import Ledger
from tests.support.ledgers import REPOSITORY, TRACE, Clock, add_tasks, claim, settle, spec

OTHER = "acme/other"
LIMITS = BudgetLimits(attempt=Limit(usd=2))
DAY: Mapping[str, float | None] = {"claude": 5.0}


def start(
    ledger: Ledger,
    day: Mapping[str, float | None] = DAY,
    *,
    days: Mapping[str, Mapping[str, float | None]] | None = None,
    slots: int = 100,
) -> tuple[attempts.Attempt, ...]:
    """Dispatch where all repositories' providers have the limits `day`, or each those of `days`."""
    with ledger.write() as tx:
        return task_dispatch.dispatch(
            tx,
            max_concurrent=slots,
            max_per_repository=slots,
            claim_deadline_s=60,
            limits_of=lambda _: LIMITS,
            day_limits_of=lambda repository, *_: day if days is None else days[repository],
        )


def call(ledger: Ledger, attempt: attempts.Attempt, usd: float) -> None:
    row = ModelCallRow(
        purpose="agent",
        model="small",
        ok=True,
        input_tokens=10,
        output_tokens=1,
        latency_s=1,
        cost_usd=usd,
        trace_id=TRACE,
        attempt_id=attempt.id,
        provider="claude",
    )
    with ledger.write() as tx:
        record_model_call(tx, row)


def used(ledger: Ledger) -> float:
    with ledger.read() as tx:
        return provider_budgets.used_today(tx, "claude")


def test_no_more_attempts_start_than_their_shares_leave_room_for(ledger: Ledger, clock: Clock) -> None:
    add_tasks(ledger, *(spec(f"k{number}") for number in range(5)))
    first, second = start(ledger)  # of 2 USD each, in a day of 5
    assert (used(ledger), start(ledger)) == (4.0, ())
    claimed = claim(ledger, first.id)
    call(ledger, first, 0.5)
    assert used(ledger) == 4.0, "what is spent of a share is not counted twice"
    settle(ledger, claimed, Cause.COMPLETED)
    assert used(ledger) == 2.5
    assert len(start(ledger)) == 1
    call(ledger, second, 1.0)
    clock.now += timedelta(days=1)
    assert used(ledger) == 1.0 + 2.0, "work under way keeps its share, less what is spent"


def test_tasks_of_a_provider_without_room_take_no_others_turn(ledger: Ledger) -> None:
    add_tasks(ledger, spec("first"), repository=OTHER)
    (first,) = start(ledger, {"claude": 2.0})
    claimed = claim(ledger, first.id)
    call(ledger, first, 2.0)
    settle(ledger, claimed, Cause.COMPLETED)  # the day of claude is spent
    add_tasks(ledger, *(spec(f"k{number}") for number in range(5)))
    add_tasks(ledger, spec("second", priority=Priority.LOW), repository=OTHER)
    started = start(ledger, days={REPOSITORY: {"claude": 2.0}, OTHER: {"spare": 5.0}}, slots=1)
    assert [attempt.repository for attempt in started] == [OTHER]


def test_a_provider_with_room_is_enough_and_each_ones_share_is_its_own(ledger: Ledger) -> None:
    add_tasks(ledger, *(spec(f"k{number}") for number in range(4)))
    assert len(start(ledger, {"claude": 5.0, "spare": None})) == 4
    assert used(ledger) == 4.0, "two had room at the first one"


def test_a_share_is_reserved_anew_without_counting_itself(ledger: Ledger) -> None:
    add_tasks(ledger, spec("a"), spec("b"))
    first, _ = start(ledger)
    with ledger.write() as tx:
        assert provider_budgets.reserve_at_providers(tx, first.id, {"claude": 5.0}, 3.0) == {}
        assert provider_budgets.used_today(tx, "claude") == 5.0
        (shortage,) = provider_budgets.shortages(tx, {"claude": 5.0}, 0.1).values()
    assert "the provider claude may cost 5.00 USD a day (max_usd_per_day), of which 5.00 USD" in str(shortage)


def test_what_a_killed_planner_reserved_stays_reserved_for_its_day(ledger: Ledger, clock: Clock) -> None:
    with ledger.write() as tx:
        for name in ("plan:lost", "plan:counted"):
            budgets.reserve(tx, name, Purpose.PLAN, LIMITS, repository=REPOSITORY, trace_id=TRACE)
            provider_budgets.reserve_at_providers(tx, name, {"claude": 5.0}, 1.0)
        budgets.settle_plan(tx, "plan:counted", Amount(0.1, 10), 1)
    clock.now += timedelta(minutes=20)
    with ledger.write() as tx:
        assert budgets.release_orphans(tx, plan_s=60) == 1
    assert used(ledger) == 1.0
    clock.now += timedelta(days=1)
    assert used(ledger) == 0.0
