"""How many tasks one fact makes: one, or as many as set, whatever became of them."""

from datetime import timedelta

import pytest

from squire_pipelines.domain.authority import StartVerdict
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.signals import ReviewFinding, Signal, Source
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.ledger import collections, plans, task_signals, tasks
from squire_pipelines.ledger.retention import Retention, delete_rows, due_keys
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.planning.rules import plan_by_rules
from squire_pipelines.planning.selection import PlanInputs
from tests.support.ledgers import (
    ALL_APPROVED,
    REPOSITORY,
    START,
    TRACE,
    Clock,
    admission,
    claim,
    collect,
    dispatch,
    settle,
)

TRUSTED = StartVerdict(may_start=True, reason="ann may write here")


def remark(key: str, version: str = "v1") -> Signal:
    details = ReviewFinding(
        pull_request=7, thread=key, author="ann", is_bot=False, body="Wrong.", head_ref="fix", head_sha="a" * 40, line=3
    )
    values = {"version": version, "title": "Remark", "url": "u", "updated_at": START, "details": details}
    return Signal(repository=REPOSITORY, key=key, verdict=TRUSTED, **values)


def cycle(ledger: Ledger, *remarks: Signal, times: int = 1) -> list[tuple[str, ...]]:
    """Collect, plan, admit and run to an end that task_signals nothing; the signals of each new task."""
    collect(ledger, *remarks, source=Source.REVIEW_FINDINGS)
    with ledger.read() as tx:
        present = collections.active_signals(tx, REPOSITORY)
        answered = task_signals.worked_on(tx, REPOSITORY, present, times=times)
        covered = answered.union(tasks.answering_tasks(tx, REPOSITORY))
    plan: Plan = plan_by_rules(PlanInputs(REPOSITORY, present, "main", (), covered, max_tasks=20))
    with ledger.write() as tx:
        saved = plans.save(tx, plan, (), trace_id=TRACE, run_id=None)
        created = plans.admit(tx, saved.id, admission(ALL_APPROVED, 1), max_tasks_per_fact=times)
        made = [tasks.get(tx, task_id).spec.signals for task_id in created]
    for attempt in dispatch(ledger):
        settle(ledger, claim(ledger, attempt.id), Cause.COMPLETED)
    return made


def test_a_remark_that_the_agent_did_not_answer_makes_one_task_in_three_cycles(ledger: Ledger) -> None:
    assert cycle(ledger, remark("r1")) == [("review_finding:r1",)]
    assert cycle(ledger, remark("r1")) == []
    assert cycle(ledger, remark("r1"), remark("r2")) == [("review_finding:r2",)]
    assert cycle(ledger, remark("r1"), remark("r2")) == []


def test_a_remark_makes_as_many_tasks_as_set(ledger: Ledger) -> None:
    assert [len(cycle(ledger, remark("r1"), times=3)) for _ in range(5)] == [1, 1, 1, 0, 0]


def test_a_remark_that_changed_is_a_new_fact(ledger: Ledger) -> None:
    assert len(cycle(ledger, remark("r1"))) == 1
    assert len(cycle(ledger, remark("r1", "v2"))) == 1
    assert cycle(ledger, remark("r1", "v2")) == []


@pytest.mark.parametrize("times", [1, 3])
def test_a_plan_made_before_the_task_was_known_makes_no_second_one(ledger: Ledger, times: int) -> None:
    collect(ledger, remark("r1"), source=Source.REVIEW_FINDINGS)
    plan = plan_by_rules(PlanInputs(REPOSITORY, [remark("r1")], "main", (), frozenset(), max_tasks=20))
    with ledger.write() as tx:
        saved = [plans.save(tx, plan, (), trace_id=TRACE, run_id=None) for _ in range(2)]
        created = [plans.admit(tx, row.id, admission(ALL_APPROVED, 1), max_tasks_per_fact=times) for row in saved]
    assert [len(ids) for ids in created] == [1, 0]


def test_what_is_recorded_goes_with_the_row_of_its_signal(ledger: Ledger, clock: Clock) -> None:
    cycle(ledger, remark("r1"), remark("r2"))
    collect(ledger, remark("r2"), source=Source.REVIEW_FINDINGS)
    clock.forward(31 * 86400)
    retention = Retention({"signals": timedelta(days=30)})
    with ledger.write() as tx:
        keys = due_keys(tx, retention, "signals", limit=100)
        assert delete_rows(tx, retention, "signals", keys) == 1
        present = (remark("r1"), remark("r2"))
        assert task_signals.worked_on(tx, REPOSITORY, present, times=1) == {"review_finding:r2"}
