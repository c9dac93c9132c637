"""Readings of sources and the signals they left. A failed reading leaves what was known as it was."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, func, insert, select, update

from squire_pipelines.domain.evidence import SignalEvidence
from squire_pipelines.domain.signals import AnySource, Collection, CollectionStatus, Signal, SignalKind, source_of
from squire_pipelines.ledger import episodes
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import collections, signals


@dataclass(frozen=True, slots=True)
class RecordedCollection:
    """A reading as it was recorded: its status, how many signals there are now, and how many changed.

    `answers_again`: the source did not answer the last time.
    """

    id: int
    repository: str
    source: AnySource
    status: CollectionStatus
    signals: int
    changed: int
    error: str | None
    run_id: str | None
    ended_at: datetime
    answers_again: bool = False

    @property
    def is_news(self) -> bool:
        """Whether it says anything that the reading before it did not: a source that does not answer always does."""
        return self.status is not CollectionStatus.UNCHANGED or self.answers_again


def record(tx: Transaction, collection: Collection, *, trace_id: str, run_id: str | None) -> RecordedCollection:
    """Store one reading, as `record_all` stores many."""
    return record_all(tx, [collection], trace_id=trace_id, run_id=run_id)[0]


def record_all(
    tx: Transaction, readings: Sequence[Collection], *, trace_id: str, run_id: str | None
) -> tuple[RecordedCollection, ...]:
    """Store readings, each of another source or repository, and bring the signals of their sources up to date.

    `fresh` becomes `unchanged` when nothing differs, `failed` becomes `stale` when an earlier reading is there.
    """
    if not readings:
        return ()
    names = sorted({reading.repository for reading in readings})
    for name in names:  # in one order, so that no two transactions wait for each other
        tx.exclusive(f"signals of {name}")
    merges = _merge(tx, readings, trace_id)
    earlier = _last_status(tx, names)
    rows: list[dict[str, Any]] = []
    for reading, merge in zip(readings, merges, strict=True):
        before = earlier.get((reading.repository, reading.source.value), CollectionStatus.FAILED)
        # The row of a reading after the first is never `failed`.
        status = _status(reading, merge.changed, read_before=before is not CollectionStatus.FAILED)
        row: dict[str, Any] = {
            "repository": reading.repository,
            "source": reading.source.value,
            "status": status,
            "signals": merge.count,
            "changed": merge.changed,
            "truncated": reading.truncated,
            "error_code": reading.error_code,
            "error": reading.error,
            "requests": reading.requests,
            "quota_cost": reading.quota_cost,
            "quota_remaining": reading.quota_remaining,
            "started_at": reading.started_at,
            "ended_at": reading.ended_at,
            "trace_id": trace_id,
            "run_id": run_id,
            "planned_at": None if status.source_answered else tx.now,
            "updated_at": tx.now,
        }
        rows.append(row)
    inserted = insert(collections).returning(collections.c.id, collections.c.repository, collections.c.source)
    ids = {(row.repository, row.source): row.id for row in tx.execute(inserted, rows)}
    return tuple(
        RecordedCollection(
            ids[reading.repository, reading.source.value],
            reading.repository,
            reading.source,
            row["status"],
            row["signals"],
            row["changed"],
            reading.error,
            run_id,
            reading.ended_at,
            answers_again=reading.status.source_answered and not _answered(earlier, reading),
        )
        for reading, row in zip(readings, rows, strict=True)
    )


def _status(reading: Collection, changed: int, *, read_before: bool) -> CollectionStatus:
    if reading.status.source_answered:
        return CollectionStatus.UNCHANGED if read_before and not changed else CollectionStatus.FRESH
    return CollectionStatus.STALE if read_before else CollectionStatus.FAILED


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


def unplanned_traces(tx: Transaction, names: Sequence[str]) -> dict[str, str]:
    """Return the trace of the newest reading of each repository that no plan was made from.

    One that brought something is preferred: a plan of it belongs to what brought it.
    """
    rows = tx.execute(
        select(collections.c.repository, collections.c.trace_id)
        .where(collections.c.planned_at.is_(None), collections.c.repository.in_(names))
        .order_by(collections.c.changed > 0, collections.c.id)
    )
    return {row.repository: row.trace_id for row in rows}


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


def _answered(earlier: Mapping[tuple[str, str], CollectionStatus], reading: Collection) -> bool:
    """Return whether the source answered the last time, or was never asked before."""
    return earlier.get((reading.repository, reading.source.value), CollectionStatus.FRESH).source_answered


def _last_status(tx: Transaction, repositories: Sequence[str]) -> Mapping[tuple[str, str], CollectionStatus]:
    """Return how the last reading of each of these repositories' sources ended."""
    newest = (
        select(func.max(collections.c.id))
        .where(collections.c.repository.in_(repositories))
        .group_by(collections.c.repository, collections.c.source)
    )
    columns = collections.c["repository", "source", "status"]
    rows = tx.execute(select(*columns).where(collections.c.id.in_(newest)))
    return {(row.repository, row.source): CollectionStatus(row.status) for row in rows}


@dataclass(frozen=True, slots=True)
class _Merge:
    """How many signals of a reading's source changed, and how many there are now."""

    changed: int
    count: int


def _merge(tx: Transaction, readings: Sequence[Collection], trace_id: str) -> list[_Merge]:
    """Bring the signals of the readings' sources up to date."""
    known = _known_signals(tx, readings)
    present: list[tuple[Signal, _KnownSignal | None]] = []
    gone_ids: list[int] = []
    episodes_seen, merges = [], []
    for reading in readings:
        of_kind = known[reading.repository, reading.source.kind]
        before = {key: row for key, row in of_kind.items() if key.startswith(reading.source.key_prefix)}
        active = {key for key, row in before.items() if row.gone_at is None}
        if not reading.status.source_answered:
            merges.append(_Merge(0, len(active)))
            continue
        seen = {signal.key: signal for signal in reading.signals}  # of two with one key, the later
        # What a reading that was cut off does not show may still be there.
        gone = [] if reading.truncated else [key for key in before if key in active and key not in seen]
        present += [(signal, of_kind.get(key)) for key, signal in seen.items()]
        gone_ids += [before[key].id for key in gone]
        changed = sum(key not in of_kind or of_kind[key].differs(signal) for key, signal in seen.items())
        merges.append(_Merge(changed + len(gone), len((active | seen.keys()) - set(gone))))
        episodes_seen.append(episodes.Reading(reading.repository, reading.source.kind, tuple(seen.values()), gone))
    _upsert(tx, present)
    if gone_ids:
        ended = update(signals).where(signals.c.id == bindparam("of_id"))
        tx.execute(ended, [{"of_id": gone, "gone_at": tx.now, "updated_at": tx.now} for gone in gone_ids])
    episodes.record(tx, episodes_seen, trace_id=trace_id)
    return merges


def _is_from(source: AnySource) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of the signals that a source yields."""
    is_of_kind = signals.c.kind == source.kind
    if not source.key_prefix:
        return (is_of_kind,)
    return (is_of_kind, signals.c.key.startswith(source.key_prefix, autoescape=True))


@dataclass(frozen=True, slots=True)
class _KnownSignal:
    id: int
    version: str
    gone_at: datetime | None

    def differs(self, signal: Signal) -> bool:
        return self.gone_at is not None or self.version != signal.version


def _known_signals(
    tx: Transaction, readings: Sequence[Collection]
) -> Mapping[tuple[str, SignalKind], Mapping[str, _KnownSignal]]:
    """Return what is known of the readings' repositories and kinds of signal, by the signals' keys."""
    known: dict[tuple[str, SignalKind], dict[str, _KnownSignal]] = defaultdict(dict)
    row = signals.c
    query = select(row.id, row.repository, row.kind, row.key, row.version, row.gone_at).where(
        row.repository.in_(sorted({reading.repository for reading in readings})),
        row.kind.in_(sorted({reading.source.kind for reading in readings})),
    )
    for stored in tx.execute(query):
        known[stored.repository, SignalKind(stored.kind)][stored.key] = _KnownSignal(
            stored.id, stored.version, stored.gone_at
        )
    return known


def _upsert(tx: Transaction, present: Iterable[tuple[Signal, _KnownSignal | None]]) -> None:
    """Insert signals that are new and update the others, in one statement each."""
    added, updated = [], []
    for signal, before in present:
        values = {
            "version": signal.version,
            "title": signal.title,
            "url": signal.url,
            "signal": signal.model_dump(mode="json"),
            "last_seen_at": tx.now,
            "gone_at": None,
            "updated_at": tx.now,
        }
        if before is None:
            identity = {"repository": signal.repository, "kind": signal.kind, "key": signal.key}
            added.append({**identity, **values, "first_seen_at": tx.now})
        else:
            updated.append({"of_id": before.id, **values})
    if added:
        tx.execute(insert(signals), added)
    if updated:
        tx.execute(update(signals).where(signals.c.id == bindparam("of_id")), updated)
