"""Pages of signals, readings and plans for people: the commands and the board list them.

Each answer is a page: newest first, bounded by `limit`; the next begins after the row `after`. Read only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, func, literal, or_, select, tuple_

from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger import repositories
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import collections, plans, signals
from squire_pipelines.ledger.tenants import of_tenant

Rows = list[dict[str, Any]]


def page_of(
    tx: Transaction,
    query: Select[*tuple[Any, ...]],
    after: Any,
    *keys: ColumnElement[Any],
    limit: int,
    whose: tuple[ColumnElement[bool], ...] = (),
) -> Rows:
    """Return the rows of `query` in the descending order of `keys` behind the row whose last key is `after`.

    Raises NotFoundError when there is no such row (any more), or `whose` does not hold for it.
    """
    if after is not None:
        # Postgres refuses a number that is none of the column's type, rather than not to find it.
        value = literal(after, BigInteger) if isinstance(after, int) else after
        place = tx.execute(select(*keys).where(keys[-1] == value, *whose)).one_or_none()
        if place is None:
            raise NotFoundError(f"there is no row {after!r} to go on after", hint="begin at the first page again")
        query = query.where(tuple_(*keys) < tuple_(*place, types=[key.type for key in keys]))
    ordered = query.order_by(*(key.desc() for key in keys)).limit(limit)
    return [dict(row) for row in tx.execute(ordered).mappings()]


def _is_of(column: ColumnElement[str], repository: str | None) -> Any:
    return True if repository is None else func.lower(column) == repository.lower()


@dataclass(frozen=True, slots=True)
class SignalFilter:
    """Which signals are listed: by an author's login, only those that are held, only those seen first at `since`."""

    kind: str | None = None
    gone: bool = False
    author: str | None = None
    only_held: bool = False
    since: datetime | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield what the rows have to fulfil."""
        row = signals.c
        if self.kind:
            yield row.kind == self.kind
        if not self.gone:
            yield row.gone_at.is_(None)
        if self.author is not None:
            names = (row.signal["author"]["login"].as_string(), row.signal["details"]["author"].as_string())
            yield or_(*(func.lower(name) == self.author.lower() for name in names))
        if self.only_held:
            yield row.signal["verdict"]["may_start"].as_boolean().is_(False)
        if self.since is not None:
            yield row.first_seen_at >= self.since


def signal_page(
    tx: Transaction,
    filters: SignalFilter,
    *,
    repository: str | None,
    limit: int,
    after: int | None = None,
    tenant: str | None = None,
) -> Rows:
    """Return signals, with those that are gone only when asked for."""
    row = signals.c
    names = ("id", "repository", "kind", "key", "title", "url", "version", "first_seen_at", "last_seen_at", "gone_at")
    more = (row.signal["details"].label("details"), row.signal["verdict"].label("verdict"))
    whose = of_tenant(tenant, row.repository, row.gone_at)
    query = select(*row[names], *more).where(_is_of(row.repository, repository), *filters.conditions(), *whose)
    return page_of(tx, query, after, row.last_seen_at, row.id, limit=limit, whose=whose)


def newest_collections(tx: Transaction, *, repository: str | None, limit: int, tenant: str | None = None) -> Rows:
    """Return the newest reading of each source of each repository."""
    row = collections.c
    newest = select(func.max(row.id)).where(_is_of(row.repository, repository)).group_by(row.repository, row.source)
    names = ("repository", "source", "status", "signals", "changed", "truncated", "error_code", "error", "ended_at")
    whose = of_tenant(tenant, row.repository)
    query = select(*row[names], row.trace_id, row.run_id).where(row.id.in_(newest), *whose)
    ordered = query.order_by(row.repository, row.source).limit(limit)
    rows = [dict(reading) for reading in tx.execute(ordered).mappings()]
    states = repositories.known(tx, {reading["repository"] for reading in rows})
    for reading in rows:
        known = states.get(reading["repository"])
        reading |= {"repository_state": known and known.state.value, "repository_message": known and known.message}
    return rows


def plan_page(
    tx: Transaction, *, repository: str | None, limit: int, after: str | None = None, tenant: str | None = None
) -> Rows:
    """Return plans without their tasks."""
    row = plans.c
    names = ("id", "repository", "planner", "tasks_proposed", "tasks_created", "findings", "provisional", "trace_id")
    whose = of_tenant(tenant, row.repository, row.created_at)
    columns = (*row[names], row.run_id, row.created_at, row.admitted_at)
    query = select(*columns).where(_is_of(row.repository, repository), *whose)
    return page_of(tx, query, after, row.created_at, row.id, limit=limit, whose=whose)
