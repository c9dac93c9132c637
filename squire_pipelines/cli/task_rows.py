"""The list of tasks as people see it: rows made of what `ledger.list_sql` finds.

It is asked through `sqlite3` (see `quick`) or through the ledger's own connection; the question is the same text, and
a test compares the answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from squire_pipelines.ledger.list_sql import read_ids
from squire_pipelines.ledger.task_query import QueryRunner, TaskQuery

if TYPE_CHECKING:
    from squire_pipelines.ledger.store import Transaction


FOR_A_SLOT = "a slot"
"""What a task waits for when nothing else holds it back; `CliContext.read_tasks` looks at the budgets then."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One line of the list. `waiting` is why a task does not run yet, None when it does not wait."""

    id: str
    repository: str
    title: str
    kind: str
    status: str
    waiting: str | None
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
    def is_under_way(self) -> bool:
        """Whether it will go on without a person."""
        return self.status in {"ready", "running"}


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of the list; `next_after` is the place to go on after, None at the end."""

    rows: tuple[TaskRow, ...]
    now: datetime
    next_after: str | None = None


_SELECT = """
SELECT t.id, t.repository, t.title, t.kind, t.status, t.cause, t.message, t.attempts, t.max_attempts,
       t.cancel_requested_at, t.branch, t.trace_id, t.created_at, t.updated_at, t.ended_at, t.not_before,
       o.pr_number, o.pr_url, o.state AS outcome, o.checks
FROM tasks t LEFT JOIN outcomes o ON o.task_id = t.id WHERE
"""
_OPEN_DEPENDENCIES = """
SELECT d.task_id, d.depends_on FROM task_dependencies d JOIN tasks t ON t.id = d.depends_on
WHERE t.status <> 'succeeded' AND
"""


def _of_these(runner: QueryRunner, sql: str, column: str, ids: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    if not ids:
        return ()
    condition, values = runner.among(column, ids)
    return runner.run(sql + condition, values)


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def _sure(value: Any) -> datetime:
    moment = _moment(value)
    if moment is None:
        raise ValueError("a time that is always there is missing")
    return moment


def _waiting(row: Mapping[str, Any], now: datetime, dependencies: Mapping[str, list[str]]) -> str | None:
    # The same order of reasons as the ledger's own `waiting_reason`.
    if row["status"] != "ready":
        return "approval" if row["status"] == "proposed" else None
    not_before = _moment(row["not_before"])
    if not_before and not_before > now:
        return f"not before {not_before:%H:%M:%S} UTC"
    if names := dependencies.get(row["id"]):
        return f"depends on {', '.join(names)}"
    return FOR_A_SLOT


def read_page(runner: QueryRunner, query: TaskQuery, *, now: datetime) -> TaskPage:
    """Ask for a page. Raises NotFoundError when `after` is no task, PagePositionError when it is of another order."""
    ids, next_after = read_ids(runner, query)
    return TaskPage(read_rows(runner, ids, now=now), now, next_after)


def read_rows(runner: QueryRunner, ids: Sequence[str], *, now: datetime) -> tuple[TaskRow, ...]:
    """The rows of these tasks, in the order of `ids`; those that are there no more are left out."""
    found = {row["id"]: row for row in _of_these(runner, _SELECT, "t.id", ids)}
    dependencies: dict[str, list[str]] = {}
    ready = [task_id for task_id, row in found.items() if row["status"] == "ready"]
    for row in _of_these(runner, _OPEN_DEPENDENCIES, "d.task_id", ready):
        dependencies.setdefault(row["task_id"], []).append(row["depends_on"])
    return tuple(_row(found[task_id], now, dependencies) for task_id in ids if task_id in found)


def _row(row: Mapping[str, Any], now: datetime, dependencies: Mapping[str, list[str]]) -> TaskRow:
    return TaskRow(
        id=row["id"],
        repository=row["repository"],
        title=row["title"],
        kind=row["kind"],
        status=row["status"],
        waiting=_waiting(row, now, dependencies),
        cause=row["cause"],
        message=row["message"],
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        cancel_requested=row["cancel_requested_at"] is not None,
        branch=row["branch"],
        pr_number=row["pr_number"],
        pr_url=row["pr_url"],
        outcome=row["outcome"],
        checks=row["checks"],
        trace_id=row["trace_id"],
        created_at=_sure(row["created_at"]),
        updated_at=_sure(row["updated_at"]),
        ended_at=_moment(row["ended_at"]),
    )


def from_ledger(tx: "Transaction", query: TaskQuery) -> TaskPage:
    """The page by the ledger's own connection. Raises NotFoundError, PagePositionError."""
    from squire_pipelines.ledger.tasks import query_runner  # noqa: PLC0415 - slow to import, and needed on this path alone

    return read_page(query_runner(tx), query, now=tx.now)
