"""Work that should have gone on by itself, and what counts as none: it waits for something, or there is no slot."""

from dataclasses import replace
from datetime import timedelta

from squire_pipelines.domain.budgets import BudgetLimits
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.queue_rules import QueueRules
from squire_pipelines.domain.rate_limits import LimitKind, LimitUse
from squire_pipelines.ledger import github_limits, stuck_work
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.stuck_work import SETTLED_WITHIN, STARTED_WITHIN, StartRules
from tests.support.ledgers import REPOSITORY, START, Clock, add_task, dispatch, settle, start_attempt

RULES = StartRules(5, 1, 21_600, {}, (), lambda _: BudgetLimits(), lambda _: QueueRules(None, wait_for_merge=False))


def stuck(ledger: Ledger, rules: StartRules = RULES) -> tuple[int, int, int, str]:
    with ledger.read() as tx:
        facts = stuck_work.read_stuck(tx, rules)
    return facts.unclaimed, facts.unsettled, facts.late_starts, facts.example


def test_an_attempt_that_no_run_took_up_is_stuck_after_its_deadline_and_the_reapers_time(
    ledger: Ledger, clock: Clock
) -> None:
    task = add_task(ledger)
    dispatch(ledger, deadline_s=60)
    clock.now += timedelta(seconds=60) + SETTLED_WITHIN
    assert stuck(ledger) == (0, 0, 0, "")
    clock.now += timedelta(seconds=1)
    assert stuck(ledger) == (1, 0, 0, task)


def test_an_attempt_whose_lease_ran_out_is_stuck_until_somebody_settles_it(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger, lease_s=60)
    clock.now += timedelta(seconds=61) + SETTLED_WITHIN
    assert stuck(ledger) == (0, 1, 0, attempt.task_id)
    clock.now = START
    settle(ledger, attempt, Cause.COMPLETED)
    clock.now += timedelta(hours=1)
    assert stuck(ledger) == (0, 0, 0, "")


def test_a_task_that_could_start_and_does_not_is_late_unless_there_is_a_reason(ledger: Ledger, clock: Clock) -> None:
    task = add_task(ledger)
    clock.now += STARTED_WITHIN
    assert stuck(ledger) == (0, 0, 0, "")
    clock.now += timedelta(seconds=1)
    assert stuck(ledger) == (0, 0, 1, task)
    assert stuck(ledger, replace(RULES, without=(REPOSITORY,))) == (0, 0, 0, "")
    assert stuck(ledger, replace(RULES, slots={REPOSITORY: 0})) == (0, 0, 1, task)  # nothing runs there
    assert stuck(ledger, replace(RULES, max_concurrent=0)) == (0, 0, 0, "")


def test_of_a_limits_credentials_the_one_with_least_left_counts(ledger: Ledger, clock: Clock) -> None:
    reset_at = clock.now + timedelta(minutes=30)
    with ledger.write() as tx:
        github_limits.record_use(tx, "a", LimitUse(LimitKind.CORE, 5000, 4000, reset_at))
        github_limits.record_use(tx, "b", LimitUse(LimitKind.CORE, 5000, 100, reset_at))
        github_limits.record_use(tx, "a", LimitUse(LimitKind.GRAPHQL, 5000, 7, reset_at))
        github_limits.record_block(tx, "b", [LimitKind.GRAPHQL], 600)
    with ledger.read() as tx:
        states = github_limits.worst_states(tx)
    assert states[LimitKind.CORE].remaining == 100
    assert states[LimitKind.GRAPHQL].blocked_until == clock.now + timedelta(minutes=10)
