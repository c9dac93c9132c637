"""What can be asked of the list of tasks: filters, orders, and the place where a page begins.

Standard library only: the ledger asks through SQLAlchemy's connection, and `squire tasks list` through `sqlite3`.
`list_sql` makes SQL of the question.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from squire_pipelines.errors import ExitCode, NotFoundError, SquireError
from squire_pipelines.ledger.tenant_sql import is_of_tenant

PAGE = 100
"""Rows of a page by default."""

MAX_PAGE = 1000
"""The most rows of a page."""

STATUSES = ("proposed", "ready", "running", "succeeded", "failed", "cancelled")
FINAL_STATUSES = ("succeeded", "failed", "cancelled")
KINDS = ("fix_ci", "address_review", "resolve_issue", "manual", "other")
PRIORITIES = (0, 1, 2, 3)
PRIORITY_NAMES = ("critical", "high", "medium", "low")
"""Copies of what `domain.tasks` says, whose import takes longer than a list may; a test compares them."""


class SortOrder(StrEnum):
    """The order of a list."""

    NEWEST = "newest"
    OLDEST = "oldest"
    PRIORITY = "priority"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """Which tasks, in which order, and at most how many.

    All filters have to hold; of several statuses, kinds or causes, one. Times are aware; `since` is part of the range,
    `until` is not. `text` are words that the title has to have, all of them, in any order. `tenant` is whose
    tasks they are. `after` is the `next_after`
    of the page before, or the id of the task after which the page begins.
    """

    statuses: tuple[str, ...] = ()
    repository: str | None = None
    kinds: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    created_since: datetime | None = None
    created_until: datetime | None = None
    ended_since: datetime | None = None
    ended_until: datetime | None = None
    text: str = ""
    tenant: str | None = None
    order: SortOrder = SortOrder.NEWEST
    after: str | None = None
    limit: int = PAGE

    @property
    def is_filtered(self) -> bool:
        """Return whether a filter is set."""
        return self != TaskQuery(order=self.order, limit=self.limit)


@dataclass(frozen=True, slots=True)
class QueryRunner:
    """A connection that answers: `run` executes SQL with named parameters."""

    run: Callable[[str, Mapping[str, Any]], Sequence[Mapping[str, Any]]]
    is_sqlite: bool

    def among(self, column: str, values: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """Return the condition that `column` has one of these values, and its parameters."""
        if not self.is_sqlite:
            return f"{column} = ANY(:among)", {"among": list(values)}  # one text for any number of values
        named = {f"among_{number}": value for number, value in enumerate(values)}
        return f"{column} IN ({', '.join(f':{name}' for name in named)})", named

    def moment(self, value: datetime) -> Any:
        """Return `value` as the database compares it: SQLite has no type for times."""
        utc = value.astimezone(UTC)
        return utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if self.is_sqlite else utc


class PagePositionError(SquireError):
    """The place where the page should begin belongs to another order, or is none."""

    code = "page_position"
    exit_code = ExitCode.USAGE


COLUMNS: Mapping[SortOrder, tuple[str, ...]] = {
    SortOrder.NEWEST: ("created_at", "id"),
    SortOrder.OLDEST: ("created_at", "id"),
    SortOrder.PRIORITY: ("priority", "created_at", "id"),
    SortOrder.CHANGED: ("updated_at", "id"),
}
DESCENDING = frozenset({SortOrder.NEWEST, SortOrder.CHANGED})


# ── Where a page begins ────────────────────────────────────────────────────────────────────────────────────────────


def token(order: SortOrder, row: Mapping[str, Any]) -> str:
    """Return the place behind `row`, which has the columns of the order."""
    parts = [row[column] for column in COLUMNS[order][:-1]]
    texts = [f"{part.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}" if isinstance(part, datetime) else part for part in parts]
    return "@".join(str(part) for part in (row["id"], *texts))


def position(runner: QueryRunner, query: TaskQuery) -> tuple[Any, ...]:
    """Return the order's columns of the row after which the page begins. Raises NotFoundError, PagePositionError."""
    if not query.after:
        return ()
    columns = COLUMNS[query.order]
    task_id, *texts = query.after.split("@")
    if not texts:
        whose = f" AND {is_of_tenant(query.tenant, 'tasks.repository', 'tasks.ended_at')}" if query.tenant else ""
        row = f"SELECT {', '.join(columns)} FROM tasks WHERE id = :id{whose}"  # noqa: S608 - names of ours
        rows = runner.run(row, {"id": task_id})
        if not rows:
            raise NotFoundError(f"there is no task {task_id!r}", hint="`squire tasks list` shows the ids")
        return tuple(rows[0][column] for column in columns)
    try:
        values = [
            int(text) if column == "priority" else runner.moment(datetime.fromisoformat(text))
            for column, text in zip(columns[:-1], texts, strict=True)
        ]
    except ValueError as error:
        raise PagePositionError(
            f"{query.after!r} is no place in a list by {query.order}", hint="start at the first page again"
        ) from error
    return (*values, task_id)
