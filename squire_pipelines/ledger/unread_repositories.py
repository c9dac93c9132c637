"""Repositories that GitHub has not let us read for long, and single sources of one that do not answer."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, func, select

from squire_pipelines.domain.signals import CollectionStatus, Source
from squire_pipelines.domain.work_alerts import SourceFailure, UnreadRepository
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import collections, repositories

_ANSWERED = tuple(status for status in CollectionStatus if status.source_answered)
_SOURCES = tuple(source.value for source in Source)
_MAX_REPOSITORIES = 200
_MAX_SOURCES = 20


def unread_repositories(tx: Transaction, names: Collection[str], after: timedelta) -> tuple[UnreadRepository, ...]:
    """Return those of `names` none of whose readings succeeded, for as long as `after` or longer.

    A time in which nothing was read, such as a night, is no failure: from the first failed reading to the newest one
    counts.
    """
    unread = (_readings_since_success(tx, name) for name in _not_whole(tx, names))
    return tuple(one for one, newest in filter(None, unread) if newest - one.since >= after)


def failing_sources(tx: Transaction, names: Collection[str], gone_after: timedelta) -> tuple[SourceFailure, ...]:
    """Return the sources of `names` whose newest readings failed, while another source of the repository answered.

    Args:
        tx: Reads.
        names: The repositories of the settings.
        gone_after: A source that was not read for so long, while others were, is not read any more.
    """
    return tuple(failure for name in _not_whole(tx, names) for failure in _failing_of(tx, name, gone_after))


def _not_whole(tx: Transaction, names: Collection[str]) -> list[str]:
    """Return the repositories that were not read as a whole the last time: one that fails to be read is among them."""
    row = repositories.c
    whole = set(tx.execute(select(row.repository).where(row.repository.in_(names), row.digest.is_not(None))).scalars())
    return sorted(set(names) - whole)[:_MAX_REPOSITORIES]


@dataclass(frozen=True, slots=True)
class _SourceReadings:
    """The newest reading of a source, and the newest that it answered; None for never."""

    source: str
    newest_at: datetime
    answered_id: int
    answered_at: datetime | None


def _failing_of(tx: Transaction, name: str, gone_after: timedelta) -> Iterator[SourceFailure]:
    row = collections.c
    sources = [_readings_of(tx, name, source) for source in _sources_of(tx, name)]
    newest_at = max((one.newest_at for one in sources), default=None)
    for one in sources:
        if one.answered_at == one.newest_at or newest_at is None or newest_at - one.newest_at >= gone_after:
            continue
        failed = and_(row.repository == name, row.source == one.source, row.id > one.answered_id)
        since, count = tx.execute(select(func.min(row.ended_at), func.count()).where(failed)).one()
        if not count or not any(other.answered_at is not None and other.answered_at >= since for other in sources):
            continue  # of one none of whose sources answers is said that it is unread
        error = tx.execute(select(row.error).where(failed).order_by(row.id.desc()).limit(1)).scalar_one()
        yield SourceFailure(name, one.source, since, count, error or "no reason")


def _sources_of(tx: Transaction, name: str) -> Iterator[str]:
    """Yield the names of the sources that were ever read; by an index, one step for each, whatever was read of it."""
    row, last = collections.c, ""
    for _ in range(_MAX_SOURCES):
        query = select(func.min(row.source)).where(row.repository == name, row.source > last)
        source = tx.execute(query).scalar_one()
        if source is None:
            return
        last = source
        yield source


def _readings_of(tx: Transaction, name: str, source: str) -> _SourceReadings:
    row = collections.c
    of_source = select(row.id, row.ended_at).where(row.repository == name, row.source == source)
    newest = tx.execute(of_source.order_by(row.id.desc()).limit(1)).one()
    answered = tx.execute(of_source.where(row.status.in_(_ANSWERED)).order_by(row.id.desc()).limit(1)).first()
    answered_id, answered_at = (answered.id, answered.ended_at) if answered is not None else (0, None)
    return _SourceReadings(source, newest.ended_at, answered_id, answered_at)


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
