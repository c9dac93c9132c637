"""A ledger as the first released schema held it, filled by plain SQL: the code that once filled it is no more.

`fill` is never changed to suit later code; a later revision gets a module of its own.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import column, func, select, text
from sqlalchemy import table as sql_table

from squire_pipelines.ledger.store import Transaction

DAY = "2026-03-01"
TRACE = "ab" * 16
SPEC = (
    '{"key": "a", "title": "Fix the build", "kind": "fix_ci", "prompt": "Please fix it.", "priority": "high", '
    '"risk": "low", "confidence": 0.9, "base_branch": "main", "signals": ["open_issue:1"], "depends_on": [], '
    '"context": {"files_to_read": [], "patterns_to_follow": [], "related_code": []}, "acceptance_criteria": [], '
    '"implementation": {"approach": "", "files_to_modify": [], "files_to_create": [], "avoid": []}, '
    '"verification": {"run_tests": true, "run_lint": false, "run_build": false, "custom_checks": []}}'
)
PLAN = f'{{"repository": "acme/shop", "planner": "rules", "signals_digest": "0", "tasks": [{SPEC}], "notes": []}}'
# id, status, attempts, ended_at, cause, created at (hour)
TASKS = (
    ("t00000000000001", "proposed", 0, None, None, 1),
    ("t00000000000002", "ready", 0, None, None, 2),
    ("t00000000000003", "running", 1, None, None, 3),
    ("t00000000000004", "succeeded", 2, 14, "completed", 4),
    ("t00000000000005", "failed", 1, 15, "agent_error", 5),
    ("t00000000000006", "cancelled", 0, 16, "cancelled", 6),
)
# Each attempt with its task and number; when it was queued and when it ended, by the hour.
ATTEMPTS = (
    ("t00000000000003", 1, "running", None, 11, None),
    ("t00000000000004", 1, "ended", "lost", 12, 13),
    ("t00000000000004", 2, "ended", "completed", 13, 14),
    ("t00000000000005", 1, "ended", "agent_error", 14, 15),
)
CHANGED: dict[str, dict[Any, int]] = {
    "deliveries": {1: 10, 2: 8},
    "collections": {1: 9, 2: 11},
    "signals": {1: 9, 2: 12},
    "plans": {"p00000000000001": 10, "p00000000000002": 7},
    "attempts": {f"{task}-{number}": ended or queued + 1 for task, number, _, _, queued, ended in ATTEMPTS},
}
"""The hour of that day at which each row last changed, by its primary key."""


def at(hour: int | None) -> str | None:
    """A time of that day as SQLite has it in text; Postgres reads it too."""
    return None if hour is None else f"{DAY}T{hour:02}:00:00.000000Z"


def fill(tx: Transaction) -> None:
    """Put rows of each kind into all tables of revision 0001."""
    insert(
        tx,
        "deliveries",
        {"id": 1, "source": "github", "delivery_id": "d-1", "body_sha256": "1" * 64, "event": "push", "action": None,
         "repository": "acme/shop", "body": b"{\x00}", "trace_id": TRACE, "received_at": at(8), "requested_at": at(9),
         "tries": 1, "collected_at": at(10), "applied_at": at(9), "error": None},
        {"id": 2, "source": "cli", "delivery_id": "d-2", "body_sha256": "2" * 64, "event": "collect", "action": None,
         "repository": "acme/shop", "body": b"", "trace_id": TRACE, "received_at": at(8), "requested_at": None,
         "tries": 0, "collected_at": None, "applied_at": None, "error": "no answer"},
    )  # fmt: skip
    reading = {"repository": "acme/shop", "source": "open_issues", "signals": 1, "changed": 1, "truncated": False,
               "error_code": None, "error": None, "trace_id": TRACE, "run_id": "run-1"}  # fmt: skip
    insert(
        tx,
        "collections",
        reading | {"id": 1, "status": "fresh", "started_at": at(8), "ended_at": at(9), "planned_at": None},
        reading | {"id": 2, "status": "stale", "started_at": at(10), "ended_at": at(10), "planned_at": at(11)},
    )
    signal = {"repository": "acme/shop", "kind": "open_issue", "version": "v1", "title": "Broken", "url": "u",
              "signal": "{}", "first_seen_at": at(8), "last_seen_at": at(9)}  # fmt: skip
    insert(
        tx,
        "signals",
        signal | {"id": 1, "key": "1", "gone_at": None},
        signal | {"id": 2, "key": "2", "gone_at": at(12)},
    )
    saved = {"repository": "acme/shop", "planner": "rules", "signals_digest": "0" * 64, "plan": PLAN, "findings": "[]",
             "passed": True, "tasks_proposed": 1, "trace_id": TRACE, "run_id": None}  # fmt: skip
    insert(
        tx,
        "plans",
        saved | {"id": "p00000000000001", "created_at": at(7), "admitted_at": at(10), "tasks_created": 6},
        saved | {"id": "p00000000000002", "created_at": at(7), "admitted_at": None, "tasks_created": None},
    )
    insert(
        tx,
        "tasks",
        *(
            {"id": task, "repository": "acme/shop", "status": status, "kind": "fix_ci", "title": f"Fix build {hour}",
             "priority": 1, "fingerprint": f"{hour:032}", "spec": SPEC, "branch": f"squire/{task}",
             "base_branch": "main", "plan_id": "p00000000000001", "attempts": tries, "max_attempts": 3,
             "not_before": None, "cancel_requested_at": None, "cause": cause, "message": cause, "trace_id": TRACE,
             "created_at": at(hour), "ready_at": at(hour), "ended_at": at(ended), "updated_at": at(ended or hour)}
            for task, status, tries, ended, cause, hour in TASKS
        ),
    )  # fmt: skip
    insert(tx, "task_dependencies", {"task_id": TASKS[1][0], "depends_on": TASKS[2][0]})
    insert(
        tx,
        "attempts",
        *(
            {"id": f"{task}-{number}", "task_id": task, "number": number, "repository": "acme/shop", "status": status,
             "trace_id": TRACE, "run_id": "run-1", "lease_token": None if ended else "x", "lease_until": at(23),
             "claim_until": at(23), "limits": '{"memory_mb": 512}', "evidence": '{"exit_code": 0}', "cause": cause,
             "transient": cause == "lost", "message": cause, "pr_number": 7 if cause == "completed" else None,
             "input_tokens": 10, "output_tokens": 5, "cost_usd": 0.25, "queued_at": at(queued),
             "claimed_at": at(queued + 1), "ended_at": at(ended)}
            for task, number, status, cause, queued, ended in ATTEMPTS
        ),
    )  # fmt: skip
    steps: list[tuple[str, str | None, str, str | None, str]] = []
    for task, status, tries, *_ in TASKS:
        first = "proposed" if status == "proposed" else "ready"
        steps.append((task, None, "task", None, first))
        state = first
        for number in range(1, tries + 1):
            attempt, attempt_status = f"{task}-{number}", next(row[2] for row in ATTEMPTS if row[:2] == (task, number))
            steps += [
                (task, None, "task", state, "running"),
                (task, attempt, "attempt", None, "queued"),
                (task, attempt, "attempt", "queued", "running"),
            ]
            state = "running"
            if attempt_status == "ended":
                steps.append((task, attempt, "attempt", "running", "ended"))
                state = "ready" if number < tries else status
                steps.append((task, None, "task", "running", state))
        if state != status:
            steps.append((task, None, "task", state, status))
    insert(
        tx,
        "task_events",
        *(
            {"id": number, "task_id": task, "attempt_id": attempt, "subject": subject, "before": before, "after": after,
             "actor": "test", "reason": "so it was", "trace_id": TRACE, "at": at(12)}
            for number, (task, attempt, subject, before, after) in enumerate(steps, 1)
        ),
    )  # fmt: skip
    insert(
        tx,
        "outcomes",
        {"task_id": TASKS[3][0], "repository": "acme/shop", "pr_number": 7, "pr_url": "u", "head_sha": "a" * 40,
         "state": "merged", "checks": "passed", "opened_at": at(14), "merged_at": at(15), "closed_at": at(15),
         "forge_updated_at": at(15), "updated_at": at(16), "polled_at": None},
    )  # fmt: skip
    insert(
        tx,
        "model_calls",
        {"id": 1, "purpose": "agent", "repository": "acme/shop", "task_id": TASKS[3][0],
         "attempt_id": f"{TASKS[3][0]}-2", "model": "m", "ok": True, "status": 200, "input_tokens": 10,
         "output_tokens": 5, "cost_usd": 0.25, "latency_s": 1.5, "error": None, "trace_id": TRACE, "at": at(13)},
    )  # fmt: skip
    insert(
        tx,
        "audit",
        {"id": 1, "at": at(13), "actor": "ann", "action": "approve", "subject": TASKS[1][0], "detail": "{}",
         "trace_id": TRACE},
    )  # fmt: skip
    if tx.connection.dialect.name == "postgresql":  # whose counters do not see what was put in by hand
        for table in ("deliveries", "collections", "signals", "task_events", "model_calls", "audit"):
            newest = tx.execute(select(func.max(column("id"))).select_from(sql_table(table))).scalar_one()
            tx.execute(select(func.setval(f"{table}_id_seq", newest)))


def insert(tx: Transaction, table: str, *rows: Mapping[str, object]) -> None:
    """Insert rows by plain SQL."""
    for row in rows:
        names = ", ".join(f'"{name}"' for name in row)
        values = ", ".join(f":{name}" for name in row)
        tx.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)  # noqa: S608 - names of this module


def rows_of(tx: Transaction, table: str, columns: tuple[str, ...] = ()) -> list[dict[str, object]]:
    """All rows of a table as the driver gives them, of all columns or of those named, in the order of the first."""
    names = ", ".join(f'"{name}"' for name in columns) or "*"
    rows = tx.execute(text(f"SELECT {names} FROM {table} ORDER BY 1, 2")).mappings()  # noqa: S608 - likewise
    return [dict(row) for row in rows]
