import json
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import func, insert, select, update

from squire_pipelines.domain.alert_rules import Severity
from squire_pipelines.domain.alert_steps import AlertState, AlertStep
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import NotFoundError, WarehouseError
from squire_pipelines.ledger import alerts, archived_tasks, bulk, plans, retention, tables, tasks
from squire_pipelines.ledger.audit_export import export_trail, verify_export
from squire_pipelines.ledger.audit_verification import AuditVerdict, verify_ledger
from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.retention import Retention
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.task_query import TaskQuery
from squire_pipelines.ledger.waiting import FOR_ITS_START
from squire_pipelines.sections.operation import RetentionSettings
from squire_pipelines.upkeep.row_retention import retention_from
from squire_pipelines.warehouse.archive import archive_old_rows
from squire_pipelines.warehouse.audit_archive import open_audit_archive
from tests.support.audit_trail import add_batches, add_rows, unguarded
from tests.support.deliveries import record_delivery
from tests.support.forked import run
from tests.support.ledgers import (
    REPOSITORY,
    TRACE,
    Clock,
    add_tasks,
    collect,
    decide,
    issue,
    list_tasks,
    plan,
    settle,
    spec,
    start_attempt,
)

DAY = 86_400
WEEK = Retention({"tasks": timedelta(days=7)})


def rows_of(archive: Path, table: str) -> list[tuple[object, ...]]:
    """The different rows of a table that the archive has, by their key."""
    if not list((archive / table).glob("*.parquet")):
        return []
    key = "task_id, depends_on" if table == "task_dependencies" else "task_id" if table == "outcomes" else "id"
    with duckdb.connect() as connection:
        return connection.execute(
            f"SELECT DISTINCT {key} FROM read_parquet('{archive}/{table}/*.parquet') ORDER BY ALL"  # noqa: S608 - ours
        ).fetchall()


def ended_task(ledger: Ledger, cause: Cause = Cause.AGENT_ERROR) -> str:
    """A task that has ended, with an attempt, events and a model call."""
    attempt = start_attempt(ledger)
    with ledger.write() as tx:
        record_model_call(
            tx,
            ModelCallRow(
                purpose="agent",
                model="m",
                ok=True,
                input_tokens=1,
                output_tokens=1,
                latency_s=1,
                trace_id=TRACE,
                task_id=attempt.task_id,
                attempt_id=attempt.id,
            ),
        )
    settle(ledger, attempt, cause)
    return attempt.task_id


def counts(ledger: Ledger) -> dict[str, int]:
    """How many rows each table of tasks has."""
    with ledger.read() as tx:
        return {
            name: tx.execute(select(func.count()).select_from(tables.metadata.tables[name])).scalar_one()
            for name in retention.OF_TASKS
        }


def test_tasks_go_to_the_archive_with_all_that_belongs_to_them(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    old = ended_task(ledger)
    clock.forward(8 * DAY)
    young = ended_task(ledger)
    whole = counts(ledger)
    cleaned = archive_old_rows(ledger, tmp_path / "a", WEEK)
    assert cleaned.rows == {"tasks": 1}
    left = counts(ledger)
    assert all(left[name] == whole[name] / 2 for name in ("tasks", "attempts", "task_events", "model_calls")), left
    assert rows_of(tmp_path / "a", "tasks") == [(old,)]
    assert rows_of(tmp_path / "a", "attempts") == [(f"{old}-1",)]
    assert len(rows_of(tmp_path / "a", "task_events")) == whole["task_events"] / 2
    assert len(rows_of(tmp_path / "a", "model_calls")) == 1
    with ledger.read() as tx:
        assert [task.id for task in list_tasks(tx, TaskQuery(text="do"))] == [young]
        known = archived_tasks.archived_task(tx, old)
        assert known
        assert (known.status, known.cause, known.attempts) == (TaskStatus.FAILED, "agent_error", 1)
        assert known.archive in cleaned.files
        with pytest.raises(NotFoundError, match="was archived on"):
            tasks.get(tx, old)
        files = {row.name: row for row in tx.execute(select(tables.archives))}
    assert set(files) == set(cleaned.files)
    assert all((tmp_path / "a" / name).stat().st_size == row.bytes for name, row in files.items())
    assert archive_old_rows(ledger, tmp_path / "a", WEEK).rows == {}


def test_what_something_holds_stays(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    attempt = start_attempt(ledger)
    open_pr = attempt.task_id
    settle(ledger, attempt, Cause.COMPLETED)
    with ledger.write() as tx:
        tx.execute(
            insert(tables.outcomes).values(
                task_id=open_pr,
                repository=REPOSITORY,
                pr_number=1,
                pr_url="u",
                head_sha="0",
                state="open",
                opened_at=tx.now,
                forge_updated_at=tx.now,
                updated_at=tx.now,
            )
        )
    first, second = add_tasks(ledger, spec("first"), spec("second", depends_on=("first",)))
    with ledger.write() as tx:
        tx.execute(update(tables.tasks).where(tables.tasks.c.id == first).values(status="running"))
        tx.execute(
            update(tables.tasks)
            .where(tables.tasks.c.id == first)
            .values(status="succeeded", ended_at=tx.now, updated_at=tx.now)
        )
    clock.forward(8 * DAY)
    cleaned = archive_old_rows(ledger, tmp_path, WEEK)
    assert cleaned.rows == {}
    assert cleaned.kept == {"open pull request": 1, "others wait for it": 1}
    with ledger.write() as tx:
        tasks.cancel(tx, second, actor="ann")
        tx.execute(update(tables.outcomes).values(state="merged", updated_at=tx.now))
    assert archive_old_rows(ledger, tmp_path, WEEK).rows == {"tasks": 2}
    assert archive_old_rows(ledger, tmp_path, Retention({"tasks": timedelta(0)})).rows == {}
    clock.forward(8 * DAY)
    assert archive_old_rows(ledger, tmp_path, WEEK).rows == {"tasks": 1}
    assert rows_of(tmp_path, "task_dependencies") == [(second, first)]
    with ledger.read() as tx:
        known = archived_tasks.archived_task(tx, open_pr)
        assert known
        assert (known.pr_number, known.outcome) == (1, "merged")


@pytest.mark.slow
def test_an_archived_fact_makes_no_second_task(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    collect(ledger, issue(1))
    answer = spec("a", signals=("open_issue:1",))
    (first,) = add_tasks(ledger, answer)
    with ledger.write() as tx:
        tasks.cancel(tx, first, actor="ann")
    clock.forward(8 * DAY)
    assert archive_old_rows(ledger, tmp_path, WEEK).tasks == 1
    assert add_tasks(ledger, answer) == ()
    # What waits for a fact that ended in vain is cancelled, as it would have been.
    (after,) = add_tasks(ledger, answer, spec("b", depends_on=("a",)))
    with ledger.read() as tx:
        assert tasks.get(tx, after).status is TaskStatus.CANCELLED
    collect(ledger, issue(1, version="v2"))
    assert len(add_tasks(ledger, answer)) == 1


@pytest.mark.slow
def test_what_waits_for_an_archived_success_runs(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    add_tasks(ledger, spec("a"))
    (one,) = add_tasks(ledger, spec("other"))
    with ledger.write() as tx:
        for status in ("running", "succeeded"):
            ended = tx.now if status == "succeeded" else None
            tx.execute(update(tables.tasks).where(tables.tasks.c.id != one).values(status=status, ended_at=ended))
    clock.forward(8 * DAY)
    assert archive_old_rows(ledger, tmp_path, WEEK).tasks == 1
    (after,) = add_tasks(ledger, spec("a"), spec("b", depends_on=("a",)))
    with ledger.read() as tx:
        assert tasks.waiting_reason(tx, tasks.get(tx, after)) == FOR_ITS_START


def test_a_dry_run_counts_and_changes_nothing(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    ended_task(ledger)
    clock.forward(8 * DAY)
    before = counts(ledger)
    cleaned = archive_old_rows(ledger, tmp_path / "a", WEEK, dry_run=True)
    assert cleaned.rows == {"tasks": 1}
    assert counts(ledger) == before
    assert not (tmp_path / "a").exists()


def test_only_the_states_asked_for_go(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    ended_task(ledger, Cause.AGENT_ERROR)
    good = ended_task(ledger, Cause.NO_CHANGES)
    clock.forward(8 * DAY)
    only = Retention(WEEK.keep, statuses=(TaskStatus.SUCCEEDED,))
    assert archive_old_rows(ledger, tmp_path, only).rows == {"tasks": 1}
    assert rows_of(tmp_path, "tasks") == [(good,)]


@pytest.mark.slow
def test_a_run_is_bounded_and_the_next_goes_on(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    for _ in range(5):
        ended_task(ledger)
    clock.forward(8 * DAY)
    seen: list[tuple[str, int]] = []
    cleaned = archive_old_rows(
        ledger, tmp_path, WEEK, most=3, progress=lambda table, count: seen.append((table, count))
    )
    assert (cleaned.tasks, cleaned.more, seen) == (3, True, [("tasks", 3)])
    assert archive_old_rows(ledger, tmp_path, WEEK, most=3).tasks == 2
    assert len(rows_of(tmp_path, "tasks")) == 5


def test_a_task_that_changes_before_it_is_deleted_stays(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    changed, other = ended_task(ledger), ended_task(ledger)
    clock.forward(8 * DAY)

    def meanwhile(step: str) -> None:
        if step == "delete":
            with ledger.write() as tx:
                decide(tx, changed, bulk.retry(1))

    assert archive_old_rows(ledger, tmp_path, WEEK, checkpoint=meanwhile).tasks == 1
    with ledger.read() as tx:
        assert tasks.get(tx, changed).status is TaskStatus.READY
        assert archived_tasks.archived_task(tx, other)
        assert archived_tasks.archived_task(tx, changed) is None


def test_other_tables_go_by_their_own_age(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    from squire_pipelines.ledger import deliveries  # noqa: PLC0415 - this test alone

    old = {"source": "github", "event": "push", "action": None, "repository": REPOSITORY, "body": b"{}"}
    done = record_delivery(ledger, delivery_id="1", **old)
    record_delivery(ledger, delivery_id="2", **old)
    with ledger.write() as tx:
        deliveries.mark_collected(tx, [done.id])
        deliveries.mark_applied(tx, [done.id])
    collect(ledger, issue(1))
    collect(ledger)  # the issue is gone
    with ledger.write() as tx:
        tx.execute(update(tables.collections).values(planned_at=tx.now))
        for _ in range(2):
            plans.save(tx, plan(), (), trace_id=TRACE, run_id=None)
        call = ModelCallRow("plan", "m", ok=True, input_tokens=1, output_tokens=1, latency_s=1, trace_id=TRACE)
        record_model_call(tx, call)
    clock.forward(100 * DAY)
    rules = retention_from(RetentionSettings())
    expected = {"delivery_effects": 1, "collections": 1, "signals": 1, "model_calls": 1, "plans": 1}
    expected |= {"signal_events": 2}
    assert archive_old_rows(ledger, tmp_path, rules, dry_run=True).rows == expected
    expected |= {"deliveries": 1, "signal_episodes": 1}  # due when their effects and events are gone
    assert archive_old_rows(ledger, tmp_path, rules).rows == expected
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT * FROM read_parquet('{tmp_path}/deliveries/*.parquet')").fetchall()  # noqa: S608
    assert len(rows) == 1
    assert b"{}" not in rows[0]
    with ledger.read() as tx:
        left = {
            name: tx.execute(select(func.count()).select_from(tables.metadata.tables[name])).scalar_one()
            for name in expected
        }
    gone = dict.fromkeys(("delivery_effects", "signals", "signal_events", "signal_episodes", "model_calls"), 0)
    assert left == {"deliveries": 1, "collections": 1, "plans": 1} | gone
    assert archive_old_rows(ledger, tmp_path, rules).rows == {}


def test_alerts_go_so_long_after_they_were_over(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    with ledger.write() as tx:
        firing = AlertState("al1", "k1", "budget", "day", Severity.WARNING, "why", "do", tx.now, tx.now)
        over = replace(firing, id="al2", key="k2", ended_at=tx.now)
        alerts.record_step(tx, AlertStep((firing, over)), None, (), alerts.QueueBounds())
    rules = retention_from(RetentionSettings(alerts_days=90))
    clock.forward(90 * DAY)
    assert archive_old_rows(ledger, tmp_path, rules).rows == {}
    clock.forward(1)
    assert archive_old_rows(ledger, tmp_path, rules).rows == {"alerts": 1}
    assert rows_of(tmp_path, "alerts") == [("al2",)]
    with ledger.read() as tx:
        assert [state.id for state in alerts.open_alerts(tx)] == ["al1"]
        assert alerts.ended_alerts(tx, limit=5) == ()


def test_two_runs_at_once_are_one_too_many(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    ended_task(ledger)
    clock.forward(8 * DAY)

    def again(step: str) -> None:
        if step == "write tasks":
            with pytest.raises(WarehouseError, match="another process is archiving"):
                archive_old_rows(ledger, tmp_path, WEEK)

    assert archive_old_rows(ledger, tmp_path, WEEK, checkpoint=again).tasks == 1


def test_an_archive_that_cannot_be_written_deletes_nothing(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    ended_task(ledger)
    clock.forward(8 * DAY)
    before = counts(ledger)
    (tmp_path / "a").write_text("a file")
    with pytest.raises(WarehouseError, match="cannot be written"):
        archive_old_rows(ledger, tmp_path / "a", WEEK)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "attempts").write_text("a file in the place of a folder")
    with pytest.raises(WarehouseError, match="cannot be written"):
        archive_old_rows(ledger, tmp_path / "b", WEEK)
    assert counts(ledger) == before


class _Crash(BaseException):
    """What no handler takes for an error."""


def crash_at(number: int) -> Callable[[str], None]:
    """A checkpoint that raises at its call of this number, counted from 0."""
    calls = count()

    def crash(_step: str) -> None:
        if next(calls) == number:
            raise _Crash

    return crash


@pytest.mark.slow
def test_a_crash_at_any_step_loses_and_doubles_nothing(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    number = 0
    while True:
        archive = tmp_path / str(number)
        made = {ended_task(ledger) for _ in range(2)}
        clock.forward(8 * DAY)
        whole = counts(ledger)["tasks"]
        try:
            archive_old_rows(ledger, archive, WEEK, checkpoint=crash_at(number))
        except _Crash:
            with ledger.read() as tx:
                in_ledger = set(tx.execute(select(tables.tasks.c.id)).scalars())
            archived = {row[0] for row in rows_of(archive, "tasks")}
            assert made <= in_ledger | archived
            assert len(in_ledger) in {whole, 0}
            archive_old_rows(ledger, archive, WEEK)
        else:
            break
        assert {row[0] for row in rows_of(archive, "tasks")} == made
        assert counts(ledger)["tasks"] == 0
        assert not list(archive.glob("*/.*.building"))
        with ledger.read() as tx:
            assert all(archived_tasks.archived_task(tx, task_id) for task_id in made)
        number += 1
    assert number >= 10


_CHILD = """
import os, signal, sys
from datetime import timedelta
from itertools import count
from pathlib import Path
from squire_pipelines.ledger.retention import Retention
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.warehouse.archive import archive_old_rows
from tests.support.deliveries import record_delivery
url, archive, at = sys.argv[1:]
calls = 0
def checkpoint(step):
    global calls
    calls += 1
    if calls == int(at):
        os.kill(os.getpid(), signal.SIGKILL)
archive_old_rows(Ledger(url), Path(archive), Retention({"tasks": timedelta(0)}), checkpoint=checkpoint)
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", [2, 12, 14])
def test_a_killed_run_loses_and_doubles_nothing(
    ledger_url: str, open_at: Callable[..., Ledger], tmp_path: Path, at: int
) -> None:
    ledger = open_at(ledger_url)
    made = {ended_task(ledger) for _ in range(3)}
    ran = run(["-c", _CHILD, ledger_url, str(tmp_path), str(at)])
    assert ran.returncode in {-signal.SIGKILL, 0}, ran.stderr
    archive_old_rows(ledger, tmp_path, Retention({"tasks": timedelta(0)}))
    assert {row[0] for row in rows_of(tmp_path, "tasks")} == made
    assert counts(ledger) == dict.fromkeys(counts(ledger), 0)
    with ledger.read() as tx:
        assert tx.execute(select(func.count()).select_from(tables.archived_tasks)).scalar_one() == len(made)


def test_the_defaults_keep_what_a_redelivery_and_a_month_need() -> None:
    rules = retention_from(RetentionSettings())
    assert rules.keep["tasks"] == timedelta(days=7)
    assert set(rules.keep) == {"tasks", *retention.OF_THEMSELVES}
    for field, days in (("deliveries_days", 3), ("budgets_days", 31)):
        with pytest.raises(ValueError, match=field):
            RetentionSettings(**{field: days})


def test_the_audit_trail_is_verified_with_its_archived_rows_and_without_them(
    ledger: Ledger, clock: Clock, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    add_batches(ledger, 5, 3)
    clock.forward(40 * DAY)
    add_batches(ledger, 2)
    add_rows(ledger, 1)
    result = archive_old_rows(ledger, archive, Retention({"audit": timedelta(days=30)}))
    assert result.rows == {"audit": 8}

    def verdict() -> AuditVerdict:
        with ledger.read() as tx, open_audit_archive(tx, archive) as opened:
            return verify_ledger(tx, ids_in_order=ledger.is_sqlite, archive=opened)

    whole = verdict()
    assert (whole.problems, whole.batches, whole.rows, whole.unsealed) == ((), 3, 10, 1)
    with ledger.read() as tx, open_audit_archive(tx, archive) as opened:
        lines = [json.dumps(line) for line in export_trail(tx, ids_in_order=ledger.is_sqlite, archive=opened)]
    assert verify_export(lines) == replace(whole, rows=10)
    (file,) = (archive / "audit").glob("*.parquet")
    kept = file.read_bytes()
    with duckdb.connect() as connection:
        altered = f"SELECT * REPLACE ('eve' AS actor) FROM read_parquet('{file}') WHERE id <> {whole.batches}"  # noqa: S608 - ours
        connection.execute(f"COPY ({altered}) TO '{file}' (FORMAT parquet)")
    problems = [str(problem) for problem in verdict().problems]
    assert "is not as it was written" in problems[0]
    assert [text for text in problems if "was removed" in text] == ["row 3 of batch 1 was removed"]
    assert sum("was altered" in text for text in problems) == 7
    file.unlink()
    without = verdict()
    assert (without.problems, without.rows, without.unchecked_rows) == ((), 2, 8)
    assert without.missing_files == (f"audit/{file.name}",)
    with ledger.read() as tx, open_audit_archive(tx, archive) as opened:
        lines = [json.dumps(line) for line in export_trail(tx, ids_in_order=ledger.is_sqlite, archive=opened)]
    assert (verify_export(lines).problems, verify_export(lines).unchecked_rows) == ((), 8)
    file.write_bytes(kept)
    assert verdict() == whole
    with ledger.write() as tx, unguarded(tx):
        tx.execute(update(tables.audit_batches).where(tables.audit_batches.c.id == 1).values(members=[[1, "0" * 64]]))
    assert not verdict().ok


def test_rows_of_the_audit_trail_that_are_not_sealed_stay(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    add_rows(ledger, 2)
    clock.forward(400 * DAY)
    assert archive_old_rows(ledger, tmp_path / "archive", Retention({"audit": timedelta(days=30)})).rows == {}
