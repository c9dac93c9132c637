"""Repositories that GitHub has not let us read for long: gone, refused, or out of reach."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import and_, func, select

from squire_pipelines.domain.alert_rules import UnreadRepository
from squire_pipelines.domain.signals import CollectionStatus, Source
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import collections, repositories

_ANSWERED = tuple(status for status in CollectionStatus if status.source_answered)
_SOURCES = tuple(source.value for source in Source)
_MAX_REPOSITORIES = 200


def unread_repositories(tx: Transaction, names: Collection[str], after: timedelta) -> tuple[UnreadRepository, ...]:
    """Return those of `names` none of whose readings succeeded, for as long as `after` or longer.

    A time in which nothing was read, such as a night, is no failure: from the first failed reading to the newest one
    counts.
    """
    row = repositories.c
    whole = set(tx.execute(select(row.repository).where(row.repository.in_(names), row.digest.is_not(None))).scalars())
    doubtful = sorted(set(names) - whole)[:_MAX_REPOSITORIES]
    unread = (_readings_since_success(tx, name) for name in doubtful)
    return tuple(one for one, newest in filter(None, unread) if newest - one.since >= after)


def _readings_since_success(tx: Transaction, name: str) -> tuple[UnreadRepository, datetime] | None:
    """Return the failed readings of a repository with the time of the newest; None where there are none."""
    row = collections.c
    of_github = and_(row.repository == name, row.source.in_(_SOURCES))
    last_id = select(func.coalesce(func.max(row.id), 0)).where(of_github, row.status.in_(_ANSWERED)).scalar_subquery()
    failed = and_(of_github, row.id > last_id)
    query = select(func.min(row.ended_at), func.max(row.ended_at), func.count(), func.count(row.source.distinct()))
    first, newest, count, sources = tx.execute(query.where(failed)).one()
    if not count:
        return None
    error = tx.execute(select(row.error).where(failed).order_by(row.id.desc()).limit(1)).scalar_one()
    return UnreadRepository(name, first, count // sources, error or "no reason"), newest
