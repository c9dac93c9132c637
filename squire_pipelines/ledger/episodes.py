"""Episodes of signals, and the rows of what happened to them, written in the transaction that changes the signals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, func, insert, select, update

from squire_pipelines.domain.episodes import EpisodeChange, episode_facts
from squire_pipelines.domain.signals import Signal, SignalKind
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import signal_episodes, signal_events


@dataclass(frozen=True, slots=True)
class Reading:
    """What was seen of one kind of signal in one repository: those that are there, and the keys of those that ended."""

    repository: str
    kind: SignalKind
    present: Sequence[Signal] = ()
    gone: Sequence[str] = ()


def record(tx: Transaction, reading: Reading, *, trace_id: str) -> None:
    """Open, change and close the episodes of a reading's signals. The caller has their repository to itself.

    An episode changes with its signal's version, and when it becomes another person's turn.
    """
    keys = [*(signal.key for signal in reading.present), *reading.gone]
    if not keys:
        return
    is_of_reading = (signal_episodes.c.repository == reading.repository, signal_episodes.c.kind == reading.kind)
    lasting = _by_key(tx, *is_of_reading, signal_episodes.c.closed_at.is_(None))
    returned = [signal.key for signal in reading.present if signal.key not in lasting]
    numbers = _last_numbers(tx, *is_of_reading, signal_episodes.c.key.in_(returned)) if returned else {}
    for signal in reading.present:
        _record_present(tx, signal, lasting.get(signal.key), numbers.get(signal.key, 0), trace_id)
    for key in reading.gone:
        if (row := lasting.get(key)) is not None:
            _change(tx, row.id, {"closed_at": tx.now})
            _add_event(tx, row.id, trace_id, change=EpisodeChange.GONE, version=row.version)


def _record_present(
    tx: Transaction, signal: Signal, lasting: Row[*tuple[Any, ...]] | None, earlier: int, trace_id: str
) -> None:
    facts = episode_facts(signal)
    values = {"version": signal.version, "title": signal.title, "url": signal.url, **facts.model_dump()}
    if lasting is None:
        query = insert(signal_episodes).values(
            repository=signal.repository,
            kind=signal.kind,
            key=signal.key,
            number=earlier + 1,
            opened_at=tx.now,
            updated_at=tx.now,
            **values,
        )
        episode = tx.execute(query.returning(signal_episodes.c.id)).scalar_one()
        change = EpisodeChange.REOPENED if earlier else EpisodeChange.OPENED
        _add_event(tx, episode, trace_id, change=change, version=signal.version, waits_for=facts.waits_for)
    elif (lasting.version, lasting.waits_for) != (signal.version, facts.waits_for):
        _change(tx, lasting.id, values)
        turn = {"version": signal.version, "waits_for": facts.waits_for}
        _add_event(tx, lasting.id, trace_id, change=EpisodeChange.CHANGED, **turn)


def _by_key(tx: Transaction, *conditions: ColumnElement[bool]) -> Mapping[str, Row[*tuple[Any, ...]]]:
    columns = signal_episodes.c["id", "key", "version", "waits_for"]
    return {row.key: row for row in tx.execute(select(*columns).where(*conditions))}


def _last_numbers(tx: Transaction, *conditions: ColumnElement[bool]) -> Mapping[str, int]:
    key, number = signal_episodes.c.key, signal_episodes.c.number
    rows = tx.execute(select(key, func.max(number)).where(*conditions).group_by(key))
    return {row[0]: row[1] for row in rows}


def _change(tx: Transaction, episode: int, values: Mapping[str, Any]) -> None:
    tx.execute(update(signal_episodes).where(signal_episodes.c.id == episode).values(**values, updated_at=tx.now))


def _add_event(tx: Transaction, episode: int, trace_id: str, **values: str | None) -> None:
    tx.execute(insert(signal_events).values(episode_id=episode, **values, trace_id=trace_id, at=tx.now))


def close(tx: Transaction, repository: str, kind: SignalKind, keys: Iterable[str], *, trace_id: str) -> None:
    """Close the episodes of signals that have ended otherwise than by a reading."""
    record(tx, Reading(repository, kind, gone=tuple(keys)), trace_id=trace_id)


@dataclass(frozen=True, slots=True)
class EpisodeEvent:
    """What happened to an episode of a signal: which (counted from 1), what, whose turn it was then, and when."""

    number: int
    change: EpisodeChange
    waits_for: str | None
    at: datetime


def history(tx: Transaction, signal: Signal, *, limit: int = 20) -> tuple[EpisodeEvent, ...]:
    """Return the last events of a signal's episodes, oldest first."""
    row = signal_episodes.c
    query = (
        select(row.number, signal_events.c.change, signal_events.c.waits_for, signal_events.c.at)
        .join(signal_events, signal_events.c.episode_id == row.id)
        .where(row.repository == signal.repository, row.kind == signal.kind, row.key == signal.key)
        .order_by(signal_events.c.id.desc())
        .limit(limit)
    )
    rows = tx.execute(query).all()
    return tuple(EpisodeEvent(item.number, EpisodeChange(item.change), item.waits_for, item.at) for item in rows[::-1])
