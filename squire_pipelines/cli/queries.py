"""Questions about signals, readings, plans and deliveries that only people ask, so that the ledger has none of them.

Each answer is a page: newest first, bounded by `limit`; the next begins after the row `after`. Read only.
"""

from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, tuple_

from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import collections, deliveries, plans, signals

Rows = list[dict[str, Any]]


def _same(column: Any, repository: str | None) -> Any:
    return True if repository is None else func.lower(column) == repository.lower()


def _dicts(tx: Transaction, query: Select[*tuple[Any, ...]]) -> Rows:
    found: list[Row[*tuple[Any, ...]]] = list(tx.execute(query))
    return [dict(row._mapping) for row in found]  # noqa: SLF001 - SQLAlchemy's documented name for it


def _behind(tx: Transaction, query: Select[*tuple[Any, ...]], after: Any, *keys: ColumnElement[Any]) -> Any:
    """The rows of `query` in the descending order of `keys` behind the row whose last key is `after`.

    Raises NotFoundError when there is no such row (any more).
    """
    if after is not None:
        place = tx.execute(select(*keys).where(keys[-1] == after)).one_or_none()
        if place is None:
            raise NotFoundError(f"there is no row {after!r} to go on after", hint="begin at the first page again")
        query = query.where(tuple_(*keys) < tuple_(*place, types=[key.type for key in keys]))
    return query.order_by(*(key.desc() for key in keys))


def signal_page(
    tx: Transaction, *, repository: str | None, kind: str | None, gone: bool, limit: int, after: int | None = None
) -> Rows:
    """Signals; those that are `gone` only when asked for."""
    query = select(
        signals.c.id,
        signals.c.repository,
        signals.c.kind,
        signals.c.key,
        signals.c.title,
        signals.c.url,
        signals.c.version,
        signals.c.first_seen_at,
        signals.c.last_seen_at,
        signals.c.gone_at,
        signals.c.signal["details"].label("details"),
    ).where(_same(signals.c.repository, repository))
    if kind:
        query = query.where(signals.c.kind == kind)
    if not gone:
        query = query.where(signals.c.gone_at.is_(None))
    return _dicts(tx, _behind(tx, query, after, signals.c.last_seen_at, signals.c.id).limit(limit))


def newest_collections(tx: Transaction, *, repository: str | None, limit: int) -> Rows:
    """The newest reading of each source of each repository."""
    newest = (
        select(func.max(collections.c.id))
        .where(_same(collections.c.repository, repository))
        .group_by(collections.c.repository, collections.c.source)
    )
    query = (
        select(
            collections.c.repository,
            collections.c.source,
            collections.c.status,
            collections.c.signals,
            collections.c.changed,
            collections.c.truncated,
            collections.c.error_code,
            collections.c.error,
            collections.c.ended_at,
            collections.c.trace_id,
            collections.c.run_id,
        )
        .where(collections.c.id.in_(newest))
        .order_by(collections.c.repository, collections.c.source)
    )
    return _dicts(tx, query.limit(limit))


def plan_page(tx: Transaction, *, repository: str | None, limit: int, after: str | None = None) -> Rows:
    """Plans without their tasks."""
    query = select(
        plans.c.id,
        plans.c.repository,
        plans.c.planner,
        plans.c.tasks_proposed,
        plans.c.tasks_created,
        plans.c.findings,
        plans.c.trace_id,
        plans.c.run_id,
        plans.c.created_at,
        plans.c.admitted_at,
    ).where(_same(plans.c.repository, repository))
    return _dicts(tx, _behind(tx, query, after, plans.c.created_at, plans.c.id).limit(limit))


def delivery_page(
    tx: Transaction, *, repository: str | None, pending: bool, limit: int, after: int | None = None
) -> Rows:
    """Deliveries without their bodies; `pending` are those whose collection has not been made."""
    query = select(
        deliveries.c.id,
        deliveries.c.source,
        deliveries.c.delivery_id,
        deliveries.c.event,
        deliveries.c.action,
        deliveries.c.repository,
        deliveries.c.received_at,
        deliveries.c.requested_at,
        deliveries.c.tries,
        deliveries.c.collected_at,
        deliveries.c.applied_at,
        deliveries.c.error,
        deliveries.c.trace_id,
    ).where(_same(deliveries.c.repository, repository))
    if pending:
        query = query.where(deliveries.c.collected_at.is_(None))
    return _dicts(tx, _behind(tx, query, after, deliveries.c.id).limit(limit))
