"""Changes of many tasks at once: one transaction, an event each, a report of the others."""

from typing import Any

import pytest
from sqlalchemy import event, func, select

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import Priority, TaskKind, TaskStatus
from squire_pipelines.errors import RefusedError
from squire_pipelines.ledger import bulk, tasks
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.integrity import history_problems
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import (
    task_events,
)
from squire_pipelines.ledger.task_query import TaskQuery
from tests.support.ledgers import NONE_APPROVED, TRACE, add_task, add_tasks, settle, spec, start_attempt


def update(ledger: Ledger, which: object, change: bulk.Change) -> bulk.BulkReport:
    with ledger.write() as tx:
        return bulk.bulk_update(tx, which, change, actor="ann", trace_id=TRACE)  # type: ignore[arg-type] # both forms


def status_of(ledger: Ledger, task_id: str) -> TaskStatus:
    with ledger.read() as tx:
        return tasks.get(tx, task_id).status


def count(ledger: Ledger, table: object) -> int:
    with ledger.read() as tx:
        return int(tx.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def is_sound(ledger: Ledger) -> bool:
    with ledger.read() as tx:
        return list(history_problems(tx)) == []


@pytest.mark.slow
def test_many_are_changed_and_each_has_its_event(ledger: Ledger) -> None:
    ids = add_tasks(ledger, *(spec(f"k{number}") for number in range(510)), approval=NONE_APPROVED)
    report = update(ledger, ids, bulk.approve())
    assert report == bulk.BulkReport({TaskStatus.READY: ids}, ())
    with ledger.read() as tx:
        last = tasks.events(tx, ids[-1])[-1]
        assert tasks.get(tx, ids[-1]).ready_at is not None
    assert (last.before, last.after, last.actor, last.reason) == ("proposed", "ready", "ann", "approved")
    assert count(ledger, task_events) == 2 * len(ids)
    assert is_sound(ledger)


def test_what_does_not_match_stays_and_is_told_with_the_reason(ledger: Ledger) -> None:
    ready, proposed = add_task(ledger), add_task(ledger, approval=NONE_APPROVED)
    report = update(ledger, [ready, "tnone", proposed, proposed], bulk.approve())
    assert report.changed == {TaskStatus.READY: (proposed,)}
    assert {unmatched.task_id: unmatched.reason for unmatched in report.unmatched} == {
        ready: f"task {ready} is not proposed",
        "tnone": "there is no task 'tnone'",
    }


def test_cancel_ends_what_waits_and_asks_what_runs_once(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    waiting, proposed = add_task(ledger), add_task(ledger, approval=NONE_APPROVED)
    everything = TaskQuery()
    report = update(ledger, everything, bulk.cancel("enough"))
    assert set(report.changed[TaskStatus.CANCELLED]) == {waiting, proposed}
    assert report.changed[TaskStatus.RUNNING] == (attempt.task_id,)
    update(ledger, everything, bulk.cancel("again"))
    with ledger.read() as tx:
        reasons = [event.reason for event in tasks.events(tx, attempt.task_id)]
        task = tasks.get(tx, waiting)
    assert [reason for reason in reasons if "cancel" in reason] == ["cancel requested: enough"]
    assert (task.cause, task.message, task.ended_at) == ("cancelled", "enough", task.updated_at)
    assert is_sound(ledger)


def test_reject_is_for_proposals_alone(ledger: Ledger) -> None:
    ready, proposed = add_task(ledger), add_task(ledger, approval=NONE_APPROVED)
    report = update(ledger, [ready, proposed], bulk.reject("no"))
    assert report.changed == {TaskStatus.CANCELLED: (proposed,)}
    assert report.unmatched[0].hint == f"`squire tasks cancel {ready}` stops one that was approved"


def test_retry_gives_more_tries_and_forgets_the_end(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    settle(ledger, attempt, Cause.AGENT_ERROR)
    assert update(ledger, [attempt.task_id], bulk.retry(2)).count == 1
    with ledger.read() as tx:
        task = tasks.get(tx, attempt.task_id)
    assert (task.status, task.max_attempts, task.cause, task.ended_at) == (TaskStatus.READY, 3, None, None)
    assert is_sound(ledger)


def test_a_filter_changes_what_it_finds_and_reports_nothing_else(ledger: Ledger) -> None:
    one = add_task(ledger, title="Fix the parser", kind=TaskKind.FIX_CI, repository="acme/a")
    other = add_task(ledger, title="Fix the lexer", kind=TaskKind.FIX_CI, repository="acme/b")
    add_task(ledger, title="Tidy up", kind=TaskKind.MANUAL, repository="acme/a")
    by_word = TaskQuery(statuses=("ready",), kinds=("fix_ci",), repository="ACME/a", text="parser fix")
    assert update(ledger, by_word, bulk.cancel("x")).changed == {TaskStatus.CANCELLED: (one,)}
    with ledger.read() as tx:
        ended = tasks.get(tx, one).ended_at
        assert bulk.ids_of(tx, TaskQuery(ended_since=ended)) == (one,)
        assert bulk.ids_of(tx, TaskQuery(ended_until=ended)) == ()
        assert bulk.ids_of(tx, TaskQuery(causes=("cancelled",))) == (one,)
        assert bulk.ids_of(tx, TaskQuery(repository="acme/b")) == (other,)


def test_more_than_the_bound_are_refused_and_none_is_changed(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MAX_TASKS", 2)
    ids = add_tasks(ledger, spec("a"), spec("b"), spec("c"))
    for which in (ids, TaskQuery()):
        with pytest.raises(RefusedError, match="more than 2 tasks"):
            update(ledger, which, bulk.cancel("x"))
    assert status_of(ledger, ids[0]) is TaskStatus.READY


@pytest.mark.parametrize("database", ["postgres"])  # SQLite's planner has no statistics here
def test_stale_statistics_do_not_have_each_row_of_a_state_compared_with_every_id(ledger: Ledger) -> None:
    ids = add_tasks(ledger, *(spec(f"k{number}") for number in range(600)))
    with ledger.write() as tx:
        tx.connection.exec_driver_sql("ANALYZE tasks")  # not one is cancelled
    update(ledger, ids, bulk.cancel("x"))
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    with ledger.write() as tx:
        event.listen(ledger.engine, "before_cursor_execute", note)
        bulk.bulk_update(tx, ids[:300], bulk.retry(1), actor="ann", trace_id=TRACE)
        event.remove(ledger.engine, "before_cursor_execute", note)
        (statement,) = [statement for statement in asked if statement[0].startswith("UPDATE tasks")]
        tx.connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        lines = tx.connection.exec_driver_sql(f"EXPLAIN {statement[0]}", statement[1]).scalars().all()
    assert "pk_tasks" in "\n".join(lines)


def test_a_failure_half_way_leaves_all_as_it_was(ledger: Ledger) -> None:
    ids = add_tasks(ledger, spec("a"), spec("b"))

    def cancel_and_fail() -> None:
        with ledger.write() as tx:
            bulk.bulk_update(tx, ids, bulk.cancel("x"), actor="ann", trace_id=TRACE)
            raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError, match="pulled"):
        cancel_and_fail()
    assert status_of(ledger, ids[0]) is TaskStatus.READY
    assert count(ledger, task_events) == 2


def test_a_priority_is_given_to_what_has_not_ended_and_each_change_is_told_with_what_it_was(ledger: Ledger) -> None:
    ended = start_attempt(ledger)
    settle(ledger, ended, Cause.AGENT_ERROR)
    running = start_attempt(ledger).task_id
    urgent = add_task(ledger, priority=Priority.CRITICAL)
    proposed = add_task(ledger, approval=NONE_APPROVED, priority=Priority.LOW)
    report = update(ledger, [ended.task_id, running, urgent, proposed], bulk.prioritise(Priority.CRITICAL))
    assert report.changed == {
        TaskStatus.RUNNING: (running,),
        TaskStatus.READY: (urgent,),
        TaskStatus.PROPOSED: (proposed,),
    }
    assert [unmatched.task_id for unmatched in report.unmatched] == [ended.task_id]
    with ledger.read() as tx:
        history = {task_id: tasks.events(tx, task_id) for task_id in (running, urgent, proposed)}
        known = [tasks.get(tx, task_id).priority for task_id in (ended.task_id, running, urgent, proposed)]
        audited = audit_page(tx)[0]
    changes = {
        task_id: [(row.before, row.after, row.actor) for row in rows if row.subject == "queue"]
        for task_id, rows in history.items()
    }
    assert changes == {
        running: [("medium", "critical", "ann")],
        urgent: [],
        proposed: [("low", "critical", "ann")],
    }
    assert known == [Priority.MEDIUM, 0, 0, 0]
    assert (audited.action, audited.detail["reason"]) == ("tasks.priority", "priority critical")
    assert is_sound(ledger)


def test_what_people_do_is_in_the_audit_trail(ledger: Ledger) -> None:
    one, two = add_tasks(ledger, spec("a"), spec("b"))
    update(ledger, [one, two], bulk.cancel("no need"))
    update(ledger, [two], bulk.retry(1))
    update(ledger, ["tnone"], bulk.retry(1))
    with ledger.read() as tx:
        entries = audit_page(tx)
    assert [(entry.actor, entry.action, entry.subject) for entry in entries] == [
        ("ann", "tasks.retry", two),
        ("ann", "tasks.cancel", "2 tasks"),
    ]
    assert entries[1].detail == {"tasks": [one, two], "count": 2, "reason": "no need"}
    assert {entry.trace_id for entry in entries} == {TRACE}
    with ledger.read() as tx:
        assert audit_page(tx, before=entries[0].id, limit=5) == entries[1:2]
        assert audit_page(tx, action="tasks.retry") == entries[:1]
        assert audit_page(tx, actor="bob") == ()
        assert audit_page(tx, since=entries[0].at) == entries
