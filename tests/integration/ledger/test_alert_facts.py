"""What alerts follow from beside conditions, as the ledger has it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from squire_pipelines.domain.alert_rules import DEFAULT_POLICIES
from squire_pipelines.domain.breakers import Breaker
from squire_pipelines.domain.budgets import BudgetLimits, Limit, Purpose
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.queue_rules import QueueRules
from squire_pipelines.domain.signals import AnySource, CollectionStatus, FurtherSource, Source
from squire_pipelines.domain.targets import TargetName, Targets
from squire_pipelines.domain.work_alerts import FailureRun, SourceFailure, WorkFacts, assess_work
from squire_pipelines.ledger import budgets, collections, deliveries, outcomes
from squire_pipelines.ledger.alert_facts import read_work
from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts
from squire_pipelines.ledger.target_events import read_target_events
from tests.support.deliveries import record_delivery
from tests.support.ledgers import REPOSITORY, TRACE, Clock, add_task, reading, settle, start_attempt

ReadSource = Callable[..., None]
LIMITS = BudgetLimits(day=Limit(usd=10))


def read(ledger: Ledger, breaker: Breaker | None = None) -> WorkFacts:
    with ledger.read() as tx:
        return read_work(tx, LIMITS, lambda _: LIMITS, lambda _: QueueRules(breaker=breaker), {REPOSITORY: Targets()})


def end(ledger: Ledger, clock: Clock, cause: Cause, *, has_agent: bool = False) -> str:
    """Have a task end by its one attempt; return its id."""
    clock.forward(1)
    attempt = start_attempt(ledger, max_attempts=1)
    with ledger.write() as tx:
        if has_agent:
            tx.execute(update(attempts).where(attempts.c.id == attempt.id).values(agent_started_at=tx.now))
    settle(ledger, attempt, cause)
    return attempt.task_id


def test_an_empty_ledger_has_nothing_wrong(ledger: Ledger) -> None:
    facts = read(ledger)
    assert (facts.failures, facts.crashes, facts.breakers, facts.lost_deliveries) == ((), 0, (), 0)
    assert [(budget.scope, budget.share, budget.renewed) for budget in facts.budgets] == [("day", 0.0, "2026-03-02")]


def test_failures_in_a_row_are_counted_from_the_newest_task_to_the_last_that_succeeded(
    ledger: Ledger, clock: Clock
) -> None:
    for cause in (Cause.AGENT_ERROR, Cause.COMPLETED, Cause.TIMEOUT, Cause.CANCELLED):
        end(ledger, clock, cause)
    newest = end(ledger, clock, Cause.AGENT_ERROR)
    assert read(ledger).failures == (FailureRun(REPOSITORY, 2, newest, "agent_error"),)
    end(ledger, clock, Cause.NO_CHANGES)
    assert read(ledger).failures == ()


def test_crashes_count_for_an_hour_where_an_agent_had_started(ledger: Ledger, clock: Clock) -> None:
    end(ledger, clock, Cause.OUT_OF_MEMORY)
    crashed = end(ledger, clock, Cause.OUT_OF_MEMORY, has_agent=True)
    end(ledger, clock, Cause.TIMEOUT, has_agent=True)
    facts = read(ledger)
    assert (facts.crashes, facts.crashed_task) == (1, crashed)
    clock.forward(3601)
    assert read(ledger).crashes == 0


def test_a_budget_says_how_much_of_it_is_used(ledger: Ledger) -> None:
    with ledger.write() as tx:
        limits = BudgetLimits(plan=Limit(usd=9))
        budgets.reserve(tx, "plan:a", Purpose.PLAN, limits, repository=REPOSITORY, trace_id=TRACE)
    (budget,) = read(ledger).budgets
    assert (budget.share, budget.is_used_up) == (0.9, False)


def test_a_providers_limit_of_the_day_is_a_budget_that_is_used_up_when_no_attempt_fits(ledger: Ledger) -> None:
    row = ModelCallRow("plan", "m", ok=True, input_tokens=1, output_tokens=1, latency_s=1, trace_id=TRACE)
    limits = BudgetLimits(attempt=Limit(usd=0.5))
    for usd, expected in ((4.1, (0.82, False)), (0.5, (0.92, True))):
        with ledger.write() as tx:
            record_model_call(tx, replace(row, provider="claude", cost_usd=usd))
        with ledger.read() as tx:
            facts = read_work(tx, limits, lambda _: limits, lambda _: QueueRules(), {}, provider_usd={"claude": 5.0})
        (level,) = facts.budgets
        assert (level.scope, level.renewed, (round(level.share, 2), level.is_used_up)) == (
            "provider claude",
            "2026-03-02",
            expected,
        )
        (alert,) = assess_work(facts, DEFAULT_POLICIES, budget_share=0.8).firing.values()
        assert (alert.key, "of the provider claude" in alert.reason) == ("budget:provider claude", True)


def test_tasks_that_a_breaker_holds_are_counted_by_its_scope(ledger: Ledger) -> None:
    task_id = add_task(ledger)
    assert read(ledger, Breaker(task=0, issue=99, day=99)).breakers[0].task_id == task_id
    add_task(ledger)
    (trip,) = read(ledger, Breaker(task=0, issue=99, day=99)).breakers
    assert (trip.scope, trip.count) == ("task", 2)


def test_deliveries_after_which_nothing_was_read_count_for_an_hour(ledger: Ledger, clock: Clock) -> None:
    record_delivery(
        ledger, source="github", delivery_id="d", event="push", action=None, repository=REPOSITORY, body=b"{}"
    )
    for _ in range(2):
        with ledger.write() as tx:
            deliveries.take_for_collection(tx, deliveries.RequestRule(1, 1))
        clock.forward(2)
    assert read(ledger).lost_deliveries == 1
    clock.forward(3601)
    assert read(ledger).lost_deliveries == 0


@pytest.fixture
def read_source(ledger: Ledger, clock: Clock) -> ReadSource:
    """Return what records a reading of a source of the repository."""

    def record(status: CollectionStatus, source: AnySource = Source.OPEN_ISSUES) -> None:
        failed = not status.source_answered
        values = {"started_at": clock.now, "ended_at": clock.now, "error": "Not Found" if failed else None}
        with ledger.write() as tx:
            one = reading(status=status, source=source).model_copy(update=values)
            collections.record(tx, one, trace_id=TRACE, run_id=None)

    return record


def test_a_source_that_does_not_answer_while_another_does_is_named_until_it_answers(
    ledger: Ledger, clock: Clock, read_source: ReadSource
) -> None:
    former = FurtherSource("former")
    read_source(CollectionStatus.FRESH, Source.OPEN_PRS)
    read_source(CollectionStatus.FAILED, former)
    clock.forward(7200)
    began = clock.now
    for count in (1, 2, 3):
        read_source(CollectionStatus.FAILED)
        assert [one.readings for one in read(ledger).sources] == ([count] if count > 1 else [])
        clock.forward(600)
        read_source(CollectionStatus.FRESH, Source.OPEN_PRS)
    # Of the source that nobody reads any more nothing is said.
    assert read(ledger).sources == (SourceFailure(REPOSITORY, "open_issues", began, 3, "Not Found"),)
    read_source(CollectionStatus.FRESH)
    assert read(ledger).sources == ()


def test_a_repository_that_nobody_could_read_for_an_hour_is_named_with_the_reason(
    ledger: Ledger, clock: Clock, read_source: ReadSource
) -> None:
    read_source(CollectionStatus.FRESH)
    for minutes in (10, 20, 30):
        clock.forward(60 * minutes)
        for source in (Source.OPEN_ISSUES, Source.OPEN_PRS):
            read_source(CollectionStatus.FAILED, source)
        assert read(ledger).unread == ()
    clock.forward(60 * 10)
    read_source(CollectionStatus.FAILED)
    (unread,) = read(ledger).unread
    assert (unread.repository, unread.reason) == (REPOSITORY, "Not Found")
    assert clock.now - unread.since == timedelta(minutes=60)
    read_source(CollectionStatus.FRESH, Source.OPEN_PRS)
    assert read(ledger).unread == ()


def test_tasks_containers_and_waits_for_an_agent_count_for_targets(ledger: Ledger, clock: Clock) -> None:
    end(ledger, clock, Cause.KILLED, has_agent=True)
    end(ledger, clock, Cause.COMPLETED, has_agent=True)
    end(ledger, clock, Cause.CANCELLED, has_agent=True)
    quick, slow = start_attempt(ledger), start_attempt(ledger)
    for number, attempt in enumerate((quick, slow)):
        clock.forward(31 * number)
        with ledger.write() as tx:
            outcomes.record_opened(
                tx,
                task_id=attempt.task_id,
                repository=REPOSITORY,
                pr_number=number,
                pr_url=f"https://x/{number}",
                head_sha="a" * 40,
            )
    with ledger.write() as tx:
        tx.execute(update(attempts).where(attempts.c.id == slow.id).values(agent_started_at=tx.now))
    with ledger.read() as tx:
        events = read_target_events(tx, lambda _: Targets(ready_to_agent_s=30, ready_to_pull_request_s=30))
    counts = {target: [0, 0] for target in TargetName}
    for event in events:
        counts[event.target][event.is_bad] += 1
    assert counts == {
        TargetName.TASK_FAILURE: [1, 1],
        TargetName.CONTAINER_CRASH: [1, 1],
        TargetName.READY_TO_AGENT: [3, 1],
        TargetName.READY_TO_PULL_REQUEST: [1, 1],
    }
    clock.forward(4 * 86_400)
    with ledger.read() as tx:
        assert read_target_events(tx, lambda _: Targets()) == ()
