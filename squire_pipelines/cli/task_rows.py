"""The list of tasks as people see it: one SQL text that SQLite and Postgres both understand, and rows made of it.

It runs through `sqlite3` (see `quick`) or through the ledger's own connection; what it says is the ledger's truth,
and a test compares the two.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from squire_pipelines.errors import NotFoundError

if TYPE_CHECKING:
    from squire_pipelines.ledger.store import Transaction

STATUSES = ("proposed", "ready", "running", "succeeded", "failed", "cancelled")

Run = Callable[[str, Mapping[str, Any]], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """Which tasks: newest first, after the task `after`, at most `limit`."""

    statuses: tuple[str, ...] = ()
    repository: str | None = None
    after: str | None = None
    id_prefix: str = ""
    limit: int = 50


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
    """A page of the list; `next_after` is the id to go on after, None at the end."""

    rows: tuple[TaskRow, ...]
    now: datetime
    next_after: str | None = None


_SELECT = """
SELECT t.id, t.repository, t.title, t.kind, t.status, t.cause, t.message, t.attempts, t.max_attempts,
       t.cancel_requested_at, t.branch, t.trace_id, t.created_at, t.updated_at, t.ended_at, t.not_before,
       o.pr_number, o.pr_url, o.state AS outcome, o.checks
FROM tasks t LEFT JOIN outcomes o ON o.task_id = t.id
"""
_ORDER = "ORDER BY t.created_at DESC, t.id DESC LIMIT :limit"
_AFTER = "(t.created_at, t.id) < (SELECT a.created_at, a.id FROM tasks a WHERE a.id = :after)"
_OPEN_DEPENDENCIES = """
SELECT d.task_id, d.depends_on FROM task_dependencies d JOIN tasks t ON t.id = d.depends_on
WHERE t.status <> 'succeeded' AND d.task_id >= :first AND d.task_id <= :last
"""


def _where(query: TaskQuery) -> tuple[str, dict[str, Any]]:
    conditions: list[str] = []
    values: dict[str, Any] = {"limit": query.limit + 1}
    if query.statuses:
        names = {f"status_{i}": status for i, status in enumerate(query.statuses)}
        conditions.append(f"t.status IN ({', '.join(f':{name}' for name in names)})")
        values |= names
    if query.repository:
        conditions.append("lower(t.repository) = :repository")
        values["repository"] = query.repository.lower()
    if query.after:
        conditions.append(_AFTER)
        values["after"] = query.after
    if query.id_prefix:
        conditions.append("t.id >= :prefix AND t.id < :prefix_end")
        values |= {"prefix": query.id_prefix, "prefix_end": query.id_prefix + "\x7f"}
    return f"WHERE {' AND '.join(conditions)}" if conditions else "", values


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment.astimezone(UTC)


def _sure(value: Any) -> datetime:
    moment = _moment(value)
    if moment is None:
        message = "a time that is always there is missing"
        raise ValueError(message)
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
    return "a slot"


def read_page(run: Run, query: TaskQuery, *, now: datetime) -> TaskPage:
    """Ask for a page. `run` executes SQL with named parameters. Raises NotFoundError when `after` is no task."""
    if query.after and not run("SELECT id FROM tasks WHERE id = :after", {"after": query.after}):
        message = f"there is no task {query.after!r}"
        raise NotFoundError(message, hint="`squire tasks list` shows the ids")
    where, values = _where(query)
    found = run(f"{_SELECT}\n{where}\n{_ORDER}", values)
    page = found[: query.limit]
    ready = sorted(row["id"] for row in page if row["status"] == "ready")
    dependencies: dict[str, list[str]] = {}
    if ready:
        for row in run(_OPEN_DEPENDENCIES, {"first": ready[0], "last": ready[-1]}):
            dependencies.setdefault(row["task_id"], []).append(row["depends_on"])
    rows = tuple(_row(row, now, dependencies) for row in page)
    return TaskPage(rows, now, rows[-1].id if len(found) > query.limit else None)


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
    """The page by the ledger's own connection. Raises NotFoundError."""
    from sqlalchemy import text  # noqa: PLC0415 - slow to import, and needed on this path alone

    def run(sql: str, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        return [dict(row) for row in tx.execute(text(sql), dict(values)).mappings()]

    return read_page(run, query, now=tx.now)
