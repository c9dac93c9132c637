"""Repositories that get no tasks from their plans: which failures count, how many, since when, and until when."""

from datetime import timedelta

from squire_pipelines.domain.plan_failures import NOT_MADE, PlanFailure
from squire_pipelines.domain.plans import PlanFinding
from squire_pipelines.ledger import collections, plan_retries, plans
from squire_pipelines.ledger.failed_plans import failed_plans
from squire_pipelines.ledger.store import Ledger
from tests.support.ledgers import REPOSITORY, START, TRACE, Clock, collect, issue, plan, spec

WRONG = PlanFinding("rules", "a", "it names no branch")


def save(ledger: Ledger, *findings: PlanFinding, repository: str = REPOSITORY) -> str:
    with ledger.write() as tx:
        return plans.save(tx, plan(spec("a"), repository=repository), findings, trace_id=TRACE, run_id=None).id


def put_off(ledger: Ledger) -> None:
    with ledger.write() as tx:
        plan_retries.put_off(tx, REPOSITORY, timedelta(minutes=5), reason="goals.md cannot be read")


def failures(ledger: Ledger, *stopped: str) -> list[PlanFailure]:
    with ledger.read() as tx:
        return list(failed_plans(tx, (REPOSITORY,), stopped=stopped))


def test_plans_that_fail_their_checks_count_in_a_row_until_one_passes(ledger: Ledger, clock: Clock) -> None:
    save(ledger, WRONG)
    clock.forward(60)
    save(ledger)
    assert failures(ledger) == []  # it has something to do or nothing, and says so
    clock.forward(60)
    save(ledger, WRONG)
    clock.forward(60)
    newest = save(ledger, WRONG)
    since = START + timedelta(seconds=120)
    assert failures(ledger) == [PlanFailure(REPOSITORY, 2, since, "it names no branch", newest)]
    assert failures(ledger, REPOSITORY) == []
    assert failures(ledger)[0].is_told(2, now=clock.now)


def test_plans_that_cannot_be_made_count_until_one_is(ledger: Ledger, clock: Clock) -> None:
    last = save(ledger)
    for _ in range(2):
        clock.forward(300)
        put_off(ledger)
    since = START + timedelta(seconds=300)
    assert failures(ledger) == [PlanFailure(REPOSITORY, 2, since, "goals.md cannot be read", last)]
    save(ledger)
    assert failures(ledger) == []


def test_what_stands_for_a_first_plan_that_could_not_be_made_is_counted_once(ledger: Ledger) -> None:
    save(ledger, PlanFinding(NOT_MADE, None, "goals.md cannot be read"))
    put_off(ledger)
    assert [failure.count for failure in failures(ledger)] == [1]


def test_a_group_counts_and_a_repository_that_the_settings_do_not_have_does_not(ledger: Ledger) -> None:
    save(ledger, WRONG, repository="group:shops")
    save(ledger, WRONG, repository="acme/gone")
    assert [failure.repository for failure in failures(ledger)] == ["group:shops"]


def test_readings_from_which_no_run_makes_a_plan_are_a_failure_after_an_hour(ledger: Ledger, clock: Clock) -> None:
    reading = collect(ledger, issue(1))
    clock.now = START + timedelta(minutes=59)
    assert failures(ledger) == []
    clock.forward(60)
    (failure,) = failures(ledger)
    assert (failure.since, failure.plan_id, failure.is_told(2, now=clock.now)) == (START, "", True)
    assert failures(ledger, REPOSITORY) == []
    with ledger.write() as tx:
        collections.mark_planned(tx, REPOSITORY, reading.id)
    assert failures(ledger) == []
