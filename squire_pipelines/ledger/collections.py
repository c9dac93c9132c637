"""Readings of sources and the signals they left. A failed reading leaves what was known as it was."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, func, insert, select, update

from squire_pipelines.domain.evidence import SignalEvidence
from squire_pipelines.domain.signals import AnySource, Collection, CollectionStatus, Signal, SignalKind, source_of
from squire_pipelines.ledger import episodes
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import collections, signals


@dataclass(frozen=True, slots=True)
class RecordedCollection:
    """A reading as it was recorded: its status, how many signals there are now, and how many changed."""

    id: int
    repository: str
    source: AnySource
    status: CollectionStatus
    signals: int
    changed: int
    error: str | None
    run_id: str | None
    ended_at: datetime


def record(tx: Transaction, collection: Collection, *, trace_id: str, run_id: str | None) -> RecordedCollection:
    """Store one reading and bring the signals of its source up to date.

    `fresh` becomes `unchanged` when nothing differs, `failed` becomes `stale` when an earlier reading is there.
    """
    tx.exclusive(f"signals of {collection.repository}")
    if collection.status.source_answered:
        changed = _merge(tx, collection, trace_id)
        status = CollectionStatus.FRESH if changed else CollectionStatus.UNCHANGED
        if not changed and not _read_before(tx, collection):
            status = CollectionStatus.FRESH
    else:
        changed = 0
        status = CollectionStatus.STALE if _read_before(tx, collection) else CollectionStatus.FAILED
    count = tx.execute(
        select(func.count())
        .select_from(signals)
        .where(
            signals.c.repository == collection.repository,
            *_is_from(collection.source),
            signals.c.gone_at.is_(None),
        )
    ).scalar_one()
    row = tx.execute(
        insert(collections)
        .values(
            repository=collection.repository,
            source=collection.source,
            status=status,
            signals=count,
            changed=changed,
            truncated=collection.truncated,
            error_code=collection.error_code,
            error=collection.error,
            requests=collection.requests,
            quota_cost=collection.quota_cost,
            quota_remaining=collection.quota_remaining,
            started_at=collection.started_at,
            ended_at=collection.ended_at,
            trace_id=trace_id,
            run_id=run_id,
            planned_at=None if status.source_answered else tx.now,
            updated_at=tx.now,
        )
        .returning(collections.c.id)
    ).scalar_one()
    return RecordedCollection(
        row,
        collection.repository,
        collection.source,
        status,
        count,
        changed,
        collection.error,
        run_id,
        collection.ended_at,
    )


def active_signals(tx: Transaction, repository: str) -> tuple[Signal, ...]:
    """Return what is known to be going on in a repository, oldest first."""
    rows = tx.execute(
        select(signals.c.signal)
        .where(signals.c.repository == repository, signals.c.gone_at.is_(None))
        .order_by(signals.c.id)
    )
    return tuple(signal for value in rows.scalars() if (signal := read_json(Signal, value)) is not None)


def known_evidence(tx: Transaction, repository: str) -> dict[str, SignalEvidence]:
    """Return the evidence of a repository's failed checks that was read before, by the signal's ref."""
    rows = tx.execute(
        select(signals.c.signal).where(
            signals.c.repository == repository, signals.c.kind == SignalKind.FAILED_CI, signals.c.gone_at.is_(None)
        )
    )
    known = (read_json(Signal, value) for value in rows.scalars())
    return {signal.ref: signal.evidence for signal in known if signal is not None and signal.evidence is not None}


def named_signals(tx: Transaction, repository: str, refs: Sequence[str]) -> tuple[Signal, ...]:
    """Return a repository's signals by their refs, in their order, also those that have gone since."""
    named: dict[str, Signal] = {}
    for ref in refs:
        kind, _, key = ref.partition(":")
        query = select(signals.c.signal).where(
            signals.c.repository == repository, signals.c.kind == kind, signals.c.key == key
        )
        signal = read_json(Signal, tx.execute(query).scalar_one_or_none())
        if signal is not None:
            named[ref] = signal
    return tuple(named.values())


def repositories_with(tx: Transaction, source: AnySource) -> frozenset[str]:
    """Return the repositories that have signals of this source."""
    query = select(signals.c.repository).where(*_is_from(source), signals.c.gone_at.is_(None)).distinct()
    return frozenset(tx.execute(query).scalars())


def add_manual_signal(tx: Transaction, signal: Signal, *, trace_id: str) -> None:
    """Store a person's own request: a signal that stays until a task answers it. The same request twice is one."""
    tx.exclusive(f"signals of {signal.repository}")
    _upsert(tx, [signal], _known_signals(tx, signal.repository, signal.kind, signals.c.key == signal.key))
    episodes.record(tx, episodes.Reading(signal.repository, signal.kind, present=(signal,)), trace_id=trace_id)


def unplanned(tx: Transaction, *, limit: int = 500) -> dict[str, int]:
    """Return the repositories with a reading that no plan was made from, each with the newest such reading's id."""
    rows = tx.execute(
        select(collections.c.repository, func.max(collections.c.id).label("newest"))
        .where(collections.c.planned_at.is_(None))
        .group_by(collections.c.repository)
        .order_by(func.min(collections.c.id))
        .limit(limit)
    )
    return {row.repository: row.newest for row in rows}


def trace_of(tx: Transaction, collection_id: int) -> str:
    """Return the trace id of a reading."""
    return str(tx.execute(select(collections.c.trace_id).where(collections.c.id == collection_id)).scalar_one())


def mark_planned(tx: Transaction, repository: str, newest: int) -> None:
    """Record that a plan was made from this repository's readings up to `newest`."""
    tx.execute(
        update(collections)
        .where(collections.c.repository == repository, collections.c.id <= newest, collections.c.planned_at.is_(None))
        .values(planned_at=tx.now, updated_at=tx.now)
    )


def latest(tx: Transaction, repositories: Sequence[str]) -> tuple[RecordedCollection, ...]:
    """Return the newest reading of each source of each repository."""
    newest = (
        select(func.max(collections.c.id))
        .where(collections.c.repository.in_(repositories))
        .group_by(collections.c.repository, collections.c.source)
    )
    rows = tx.execute(select(collections).where(collections.c.id.in_(newest)).order_by(collections.c.id))
    return tuple(
        RecordedCollection(
            row.id,
            row.repository,
            source_of(row.source),
            CollectionStatus(row.status),
            row.signals,
            row.changed,
            row.error,
            row.run_id,
            row.ended_at,
        )
        for row in rows
    )


def _read_before(tx: Transaction, collection: Collection) -> bool:
    query = (
        select(collections.c.id)
        .where(
            collections.c.repository == collection.repository,
            collections.c.source == collection.source,
            collections.c.status != CollectionStatus.FAILED,
        )
        .limit(1)
    )
    return tx.execute(query).first() is not None


def _merge(tx: Transaction, collection: Collection, trace_id: str) -> int:
    """Bring the signals of a reading's source up to date; return how many changed."""
    repository, kind = collection.repository, collection.source.kind
    known = _known_signals(tx, repository, kind, *_is_from(collection.source))
    seen = {signal.key: signal for signal in collection.signals}  # of two with one key, the later
    changed = _upsert(tx, seen.values(), known)
    gone = [key for key, (_, gone_at) in known.items() if gone_at is None and key not in seen]
    if collection.truncated:  # what a reading that was cut off does not show may still be there
        gone = []
    if gone:
        of_source = (signals.c.repository == repository, signals.c.kind == kind, signals.c.key.in_(gone))
        tx.execute(update(signals).where(*of_source).values(gone_at=tx.now, updated_at=tx.now))
        changed += len(gone)
    reading = episodes.Reading(repository, kind, tuple(seen.values()), gone)
    episodes.record(tx, reading, trace_id=trace_id)
    return changed


def _is_from(source: AnySource) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of the signals that a source yields."""
    is_of_kind = signals.c.kind == source.kind
    if not source.key_prefix:
        return (is_of_kind,)
    return (is_of_kind, signals.c.key.startswith(source.key_prefix, autoescape=True))


_KnownSignals = Mapping[str, tuple[str, datetime | None]]


def _known_signals(
    tx: Transaction, repository: str, kind: SignalKind, *conditions: ColumnElement[bool]
) -> _KnownSignals:
    """Return version and end of each signal of a kind, by its key."""
    query = select(signals.c.key, signals.c.version, signals.c.gone_at)
    rows = tx.execute(query.where(signals.c.repository == repository, signals.c.kind == kind, *conditions))
    return {row.key: (row.version, row.gone_at) for row in rows}


def _upsert(tx: Transaction, seen: Iterable[Signal], known: _KnownSignals) -> int:
    """Insert or update signals, in one statement each; return how many are new or differ."""
    added, present, changed = [], [], 0
    for signal in seen:
        values = {
            "version": signal.version,
            "title": signal.title,
            "url": signal.url,
            "signal": signal.model_dump(mode="json"),
            "last_seen_at": tx.now,
            "gone_at": None,
            "updated_at": tx.now,
        }
        identity = {"repository": signal.repository, "kind": signal.kind, "key": signal.key}
        before = known.get(signal.key)
        if before is None:
            added.append({**identity, **values, "first_seen_at": tx.now})
        else:
            present.append({**{f"of_{name}": value for name, value in identity.items()}, **values})
        changed += before != (signal.version, None)
    if added:
        tx.execute(insert(signals), added)
    if present:
        row = (signals.c[name] == bindparam(f"of_{name}") for name in ("repository", "kind", "key"))
        tx.execute(update(signals).where(*row), present)
    return changed
