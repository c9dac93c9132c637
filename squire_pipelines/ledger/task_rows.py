"""The list of tasks as people see it: rows made of the ids that `ledger.list_sql` finds.

The same SQL is asked through `sqlite3` (see `fast_list`) or through the ledger's own connection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from squire_pipelines.ledger.list_sql import read_ids
from squire_pipelines.ledger.task_query import PRIORITY_NAMES, QueryRunner, TaskQuery
from squire_pipelines.ledger.waiting import Wait, WaitKind, read_open_dependencies, read_stopped, waiting_reason


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One line of the list. `waiting` is why a task does not run yet, None when it does not wait.

    `waiting_for` is that as one word of `WaitKind`, and `waiting_until` when it ends by itself, as far as is known.
    """

    id: str
    repository: str
    title: str
    kind: str
    status: str
    priority: str
    waiting: str | None
    waiting_for: str | None
    waiting_until: datetime | None
    cause: str | None
    message: str | None
    attempts: int
    max_attempts: int
    cancel_requested: bool
    branch: str
    pr_number: int | None
    pr_url: str | None
    outcome: str | None
    checks: str | None
    trace_id: str
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None

    @property
    def waits_for_start(self) -> bool:
        """Whether nothing in the ledger stands in its way; the settings may."""
        return self.waiting_for == WaitKind.START


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of the list; `next_after` is the place where the next page begins, None at the end."""

    rows: tuple[TaskRow, ...]
    now: datetime
    next_after: str | None = None


_OF_TASKS = ("id", "repository", "title", "kind", "status", "cause", "message", "attempts", "max_attempts", "branch")
_OF_OUTCOMES = ("pr_number", "pr_url", "checks")
_COPIED = (*_OF_TASKS, "trace_id", *_OF_OUTCOMES, "outcome")
_SELECT = f"""
SELECT {", ".join(f"t.{name}" for name in _OF_TASKS)}, {", ".join(f"o.{name}" for name in _OF_OUTCOMES)},
       o.state AS outcome, t.priority, t.cancel_requested_at, t.trace_id, t.created_at, t.updated_at, t.ended_at,
       t.not_before
FROM tasks t LEFT JOIN outcomes o ON o.task_id = t.id WHERE
"""  # noqa: S608 - names of ours


def read_page(runner: QueryRunner, query: TaskQuery, *, now: datetime) -> TaskPage:
    """Read a page. Raises NotFoundError when `after` is no task, PagePositionError when it is of another order."""
    ids, next_after = read_ids(runner, query)
    return TaskPage(read_rows(runner, ids, now=now), now, next_after)


def read_rows(runner: QueryRunner, ids: Sequence[str], *, now: datetime) -> tuple[TaskRow, ...]:
    """Return the rows of these tasks, in the order of `ids`; those that are no longer there are left out."""
    if not ids:
        return ()
    condition, values = runner.among("t.id", ids)
    rows = {row["id"]: row for row in runner.run(_SELECT + condition, values)}
    ready = [task_id for task_id, row in rows.items() if row["status"] == "ready"]
    dependencies = read_open_dependencies(runner, ready)
    listed = [_row(rows[task_id], dependencies.get(task_id, []), now) for task_id in ids if task_id in rows]
    stopped = read_stopped(runner, [row.repository for row in listed if row.waits_for_start])
    waits = {
        row.id: Wait(WaitKind.REPOSITORY, stopped[row.repository])
        for row in listed
        if row.waits_for_start and row.repository in stopped
    }
    return with_waits(listed, waits)


def with_waits(rows: Sequence[TaskRow], waits: Mapping[str, Wait]) -> tuple[TaskRow, ...]:
    """Return the rows, where those of these tasks say what they wait for."""
    return tuple(replace(row, **_wait_columns(waits[row.id])) if row.id in waits else row for row in rows)


def _wait_columns(wait: Wait | None) -> dict[str, Any]:
    if wait is None:
        return {"waiting": None, "waiting_for": None, "waiting_until": None}
    return {"waiting": wait.text, "waiting_for": wait.kind.value, "waiting_until": wait.until}


def _row(row: Mapping[str, Any], dependencies: Sequence[str], now: datetime) -> TaskRow:
    wait = waiting_reason(row["status"], _moment(row["not_before"]), dependencies, now=now, cause=row["cause"])
    return TaskRow(
        **{name: row[name] for name in _COPIED},
        **_wait_columns(wait),
        priority=PRIORITY_NAMES[row["priority"]],
        cancel_requested=row["cancel_requested_at"] is not None,
        created_at=_moment(row["created_at"]),
        updated_at=_moment(row["updated_at"]),
        ended_at=_moment(row["ended_at"]),
    )


def _moment(value: Any) -> Any:
    """Return a column's time, which is text on SQLite, as an aware datetime in UTC; None stays None."""
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
