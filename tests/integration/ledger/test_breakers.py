"""Breakers at the ledger: what they count, that dispatch obeys them, and that the history says so once."""

from datetime import timedelta

from sqlalchemy import insert, select, update

from squire_pipelines.domain.breakers import Breaker, BreakerScope
from squire_pipelines.domain.budgets import day_of
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.queue_rules import QueueRules
from squire_pipelines.ledger import attempts, task_dispatch, tasks
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.breakers import attempts_today, held_tasks
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import task_events, task_signals
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.ledger.waiting import WaitKind
from tests.support.ledgers import REPOSITORY, RETRY, Clock, add_task, claim, settle


def start(ledger: Ledger, breaker: Breaker) -> tuple[Attempt, ...]:
    with ledger.write() as tx:
        return task_dispatch.dispatch(
            tx,
            max_concurrent=100,
            max_per_repository=100,
            claim_deadline_s=120,
            rules_of=lambda _repository: QueueRules(breaker=breaker),
        )


def work(ledger: Ledger, clock: Clock, breaker: Breaker) -> int:
    """Start what can be started, and have it end without a change; return how many attempts that was."""
    clock.forward(2_000)
    started = start(ledger, breaker)
    for attempt in started:
        settle(ledger, claim(ledger, attempt.id), Cause.LOST)
    return len(started)


def scopes_of_held(ledger: Ledger, breaker: Breaker) -> dict[str, BreakerScope]:
    with ledger.read() as tx:
        return {name: trip.scope for name, trip in held_tasks(tx, lambda _name: QueueRules(breaker=breaker)).items()}


def test_a_task_is_held_after_its_attempts_and_its_history_says_so_once(ledger: Ledger, clock: Clock) -> None:
    task_id, breaker = add_task(ledger, max_attempts=9), Breaker(task=2)
    assert [work(ledger, clock, breaker) for _ in range(4)] == [1, 1, 0, 0]
    assert scopes_of_held(ledger, breaker) == {task_id: BreakerScope.TASK}
    with ledger.read() as tx:
        events = tx.execute(select(task_events).where(task_events.c.actor == "breaker")).all()
        task = tasks.get(tx, task_id)
        wait = tasks.waiting_reason(tx, task, rules=QueueRules(breaker=breaker))
    assert len(events) == 1
    assert "2 attempts at this task, at most 2" in events[0].reason
    assert wait is not None
    assert (wait.kind, wait.until) == (WaitKind.BREAKER, None)
    assert work(ledger, clock, Breaker(task=3)) == 1, "a higher limit lets it go on"


def test_all_tasks_of_an_issue_and_of_its_branches_count_together(ledger: Ledger, clock: Clock) -> None:
    first, follow_up, second, other = (add_task(ledger, max_attempts=1) for _ in range(4))
    with ledger.write() as tx:
        branch = tasks.get(tx, first).branch
        tx.execute(update(task_table).where(task_table.c.id == follow_up).values(branch=branch))
        for task_id, version in ((first, "v1"), (second, "v2")):
            row = {"repository": REPOSITORY, "kind": "open_issue", "key": "7", "version": version}
            tx.execute(insert(task_signals).values(**row, task_id=task_id, at=tx.now))
    assert scopes_of_held(ledger, Breaker(issue=1)) == {}
    with ledger.write() as tx:
        tx.execute(update(task_table).where(task_table.c.id != follow_up).values(not_before=tx.now + timedelta(days=9)))
    assert work(ledger, clock, Breaker(issue=1)) == 1
    with ledger.write() as tx:
        tx.execute(update(task_table).values(not_before=None))
    assert scopes_of_held(ledger, Breaker(issue=1)) == {first: BreakerScope.ISSUE, second: BreakerScope.ISSUE}
    started = start(ledger, Breaker(issue=1))
    assert [attempt.task_id for attempt in started] == [other]


def test_a_day_ends_by_itself_and_what_never_ran_does_not_count(ledger: Ledger, clock: Clock) -> None:
    task_id, breaker = add_task(ledger, max_attempts=9), Breaker(day=1)
    (never_ran,) = start(ledger, breaker)
    assert start(ledger, breaker) == ()
    with ledger.write() as tx:
        assert attempts.reap(tx, never_ran.id, retry=RETRY, message="its run never began", run_is_over=True)
    with ledger.read() as tx:
        assert attempts_today(tx) == 0
    assert work(ledger, clock, breaker) == 1
    assert scopes_of_held(ledger, breaker) == {task_id: BreakerScope.DAY}
    with ledger.read() as tx:
        trip = held_tasks(tx, lambda _name: QueueRules(breaker=breaker))[task_id]
    assert trip.until == day_of(clock.now) + timedelta(days=1)
    clock.forward(86_400)
    assert scopes_of_held(ledger, breaker) == {}
