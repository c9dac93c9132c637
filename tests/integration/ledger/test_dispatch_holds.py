"""Since when nothing of Squire's own rules has held a task: by that the wait for an agent is judged."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from squire_pipelines.domain.breakers import Breaker
from squire_pipelines.domain.budgets import BudgetLimits, Limit, Purpose
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.queue_rules import PullRequestCaps, QueueRules
from squire_pipelines.domain.targets import TargetName, Targets
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import budgets, task_dispatch
from squire_pipelines.ledger.alert_facts import read_work
from squire_pipelines.ledger.dispatch_holds import KEPT
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts, dispatch_holds, tasks
from squire_pipelines.ledger.target_events import read_target_events
from tests.support.ledgers import REPOSITORY, START, TRACE, Clock, add_task, add_tasks, claim, settle, spec

UNLIMITED = BudgetLimits()


def look(ledger: Ledger, **rules: Any) -> list[str]:
    """Dispatch once; return the ids of the attempts that start."""
    options = {"max_concurrent": 9, "max_per_repository": 9, "claim_deadline_s": 3600.0} | rules
    with ledger.write() as tx:
        return [attempt.id for attempt in task_dispatch.dispatch(tx, **options)]


def work(ledger: Ledger, clock: Clock, attempt_id: str, *, agent_s: float = 300) -> None:
    """Have an attempt's agent start after ten seconds, and end after `agent_s`."""
    attempt = claim(ledger, attempt_id, lease_s=7200)
    clock.forward(10)
    with ledger.write() as tx:
        tx.execute(update(attempts).where(attempts.c.id == attempt_id).values(agent_started_at=tx.now))
    clock.forward(agent_s)
    settle(ledger, attempt, Cause.NO_CHANGES)


def startable(ledger: Ledger, attempt_id: str) -> float:
    """Return the moment of an attempt, in seconds since the tests' beginning."""
    with ledger.read() as tx:
        moment: datetime = tx.execute(select(attempts.c.startable_at).where(attempts.c.id == attempt_id)).scalar_one()
    return (moment - START).total_seconds()


def late(ledger: Ledger) -> list[bool]:
    with ledger.read() as tx:
        events = read_target_events(tx, lambda _: Targets())
    return [event.is_bad for event in events if event.target is TargetName.READY_TO_AGENT]


@pytest.mark.parametrize("slot", ["max_per_repository", "max_concurrent"])
def test_tasks_that_wait_for_the_one_slot_of_long_agents_miss_no_target(
    ledger: Ledger, clock: Clock, slot: str
) -> None:
    add_tasks(ledger, *(spec(f"k{number}") for number in range(4)))
    for _ in range(4):
        (attempt,) = look(ledger, **{slot: 1})
        clock.forward(5)
        assert look(ledger, **{slot: 1}) == []
        work(ledger, clock, attempt)
        clock.forward(5)
    assert late(ledger) == [False] * 4
    with ledger.read() as tx:
        facts = read_work(tx, UNLIMITED, lambda _: UNLIMITED, lambda _: QueueRules(), {REPOSITORY: Targets()})
    assert facts.missed == ()


def test_a_slot_that_dispatch_leaves_free_makes_the_next_task_late(ledger: Ledger, clock: Clock) -> None:
    add_tasks(ledger, spec("a"), spec("b"))
    (first,) = look(ledger, max_per_repository=1)
    work(ledger, clock, first)
    clock.forward(60)
    (second,) = look(ledger, max_per_repository=1)
    assert startable(ledger, second) == 310
    work(ledger, clock, second)
    assert sorted(late(ledger)) == [False, True]


def test_a_task_waits_for_the_machine_where_nothing_else_holds_it(ledger: Ledger, clock: Clock) -> None:
    add_tasks(ledger, spec("a"), spec("b"))
    look(ledger, max_unclaimed=1)
    clock.forward(20)
    assert look(ledger, max_unclaimed=1) == []
    (second,) = look(ledger, max_unclaimed=2)
    assert startable(ledger, second) == 0


@pytest.mark.parametrize(
    "rules",
    [
        {"rules_of": lambda _: QueueRules(caps=PullRequestCaps(max_open=0))},
        {"limits_of": lambda _: BudgetLimits(attempt=Limit(usd=1), repository=Limit(usd=1))},
        {"rules_of": lambda _: QueueRules(breaker=Breaker(task=0, issue=9, day=9))},
        {"on_hold": [REPOSITORY], "without": [REPOSITORY]},
    ],
    ids=["caps", "budget", "breaker", "settings"],
)
def test_what_rules_held_counts_from_the_look_that_shows_it_free(
    ledger: Ledger, clock: Clock, rules: dict[str, Any]
) -> None:
    add_task(ledger)
    with ledger.write() as tx:
        limits = BudgetLimits(plan=Limit(usd=0.5))
        budgets.reserve(tx, "plan:a", Purpose.PLAN, limits, repository=REPOSITORY, trace_id=TRACE)
    for _ in range(2):
        assert look(ledger, **rules) == []
        clock.forward(300)
    (attempt,) = look(ledger)
    assert startable(ledger, attempt) == 600


def test_a_hold_that_was_over_long_before_the_start_counts_by_its_end(ledger: Ledger, clock: Clock) -> None:
    add_task(ledger)
    look(ledger, on_hold=[REPOSITORY], without=[REPOSITORY])
    clock.forward(100)
    look(ledger, without=[REPOSITORY])
    clock.forward(100)
    (attempt,) = look(ledger)
    assert startable(ledger, attempt) == 100


def test_a_dependency_holds_until_it_is_done_and_a_time_until_it_comes(ledger: Ledger, clock: Clock) -> None:
    add_tasks(ledger, spec("a"), spec("b", depends_on=("a",)))
    (first,) = look(ledger)
    work(ledger, clock, first)
    clock.forward(7)
    (second,) = look(ledger)
    assert startable(ledger, second) == 310
    third = add_task(ledger)
    with ledger.write() as tx:
        tx.execute(update(tasks).where(tasks.c.id == third).values(not_before=clock.now))
    clock.forward(7)
    (attempt,) = look(ledger)
    assert startable(ledger, attempt) == 317


def test_a_task_whose_settings_a_person_corrected_counts_from_now(ledger: Ledger, clock: Clock) -> None:
    task_id = add_task(ledger)
    with ledger.write() as tx:
        values = {"cause": Cause.CONFIGURATION, "status": TaskStatus.READY}
        tx.execute(update(tasks).where(tasks.c.id == task_id).values(**values))
    clock.forward(900)
    (attempt,) = look(ledger, changed=[task_id])
    assert startable(ledger, attempt) == 900


def test_what_held_tasks_long_ago_is_forgotten(ledger: Ledger, clock: Clock) -> None:
    look(ledger, on_hold=[REPOSITORY])
    look(ledger)
    clock.forward(KEPT.total_seconds() + 1)
    look(ledger)
    with ledger.read() as tx:
        assert tx.execute(select(dispatch_holds)).all() == []
