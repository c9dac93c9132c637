"""Episodes of signals, and the rows of what happened to them, written in the transaction that changes the signals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, func, insert, select, update

from squire_pipelines.domain.episodes import EpisodeChange, episode_facts
from squire_pipelines.domain.signals import Signal, SignalKind
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import signal_episodes, signal_events

_BATCH = 400
"""Signals of one query: SQLite takes at least 999 parameters."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was seen of one kind of signal in one repository: those that are there, and the keys of those that ended."""

    repository: str
    kind: SignalKind
    present: Sequence[Signal] = ()
    gone: Sequence[str] = ()


def record(tx: Transaction, readings: Sequence[Reading], *, trace_id: str) -> None:
    """Open, change and close the episodes of readings' signals. The caller has their repositories to itself.

    An episode changes with its signal's version, and when it becomes another person's turn.
    """
    seen = [reading for reading in readings if reading.present or reading.gone]
    if not seen:
        return
    lasting = _lasting(tx, seen)
    signals = [signal for reading in seen for signal in reading.present]
    returned = [signal for signal in signals if _name(signal) not in lasting]
    opened, changed, events = [], [], []
    numbers = _last_numbers(tx, returned)
    for signal in returned:
        number = numbers.get(_name(signal), 0) + 1
        identity = {"repository": signal.repository, "kind": signal.kind, "key": signal.key, "number": number}
        opened.append(identity | _values(signal, tx) | {"opened_at": tx.now})
    for signal in signals:
        row, values = lasting.get(_name(signal)), _values(signal, tx)
        if row is not None and (row.version, row.waits_for) != (values["version"], values["waits_for"]):
            changed.append({"of_id": row.id, **values})
            events.append(_event(row.id, EpisodeChange.CHANGED, values))
    gone = [
        row
        for reading in seen
        for key in reading.gone
        if (row := lasting.get((reading.repository, reading.kind, key))) is not None
    ]
    if opened:
        new = insert(signal_episodes).returning(signal_episodes.c.id, sort_by_parameter_order=True)
        for episode, values in zip(tx.execute(new, opened).scalars(), opened, strict=True):
            change = EpisodeChange.OPENED if values["number"] == 1 else EpisodeChange.REOPENED
            events.append(_event(episode, change, values))
    if changed:
        tx.execute(update(signal_episodes).where(signal_episodes.c.id == bindparam("of_id")), changed)
    if gone:
        ended = update(signal_episodes).where(signal_episodes.c.id == bindparam("of_id"))
        times = {"closed_at": tx.now, "updated_at": tx.now}
        tx.execute(ended, [{"of_id": row.id, **times} for row in gone])
        events += [_event(row.id, EpisodeChange.GONE, {"version": row.version, "waits_for": None}) for row in gone]
    if events:
        tx.execute(insert(signal_events), [{**event, "trace_id": trace_id, "at": tx.now} for event in events])


def _name(signal: Signal) -> tuple[str, str, str]:
    return signal.repository, signal.kind, signal.key


def _values(signal: Signal, tx: Transaction) -> dict[str, Any]:
    content = {"version": signal.version, "title": signal.title, "url": signal.url, "updated_at": tx.now}
    return content | episode_facts(signal).model_dump()


def _event(episode: int, change: EpisodeChange, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "episode_id": episode,
        "change": change,
        "version": values["version"],
        "waits_for": values["waits_for"],
    }


def _lasting(tx: Transaction, readings: Sequence[Reading]) -> Mapping[tuple[str, str, str], Row[*tuple[Any, ...]]]:
    """Return the episodes that have not ended, of the readings' repositories and kinds of signal."""
    columns = signal_episodes.c["id", "repository", "kind", "key", "version", "waits_for"]
    query = select(*columns).where(
        signal_episodes.c.repository.in_(sorted({reading.repository for reading in readings})),
        signal_episodes.c.kind.in_(sorted({reading.kind for reading in readings})),
        signal_episodes.c.closed_at.is_(None),
    )
    return {(row.repository, row.kind, row.key): row for row in tx.execute(query)}


def _last_numbers(tx: Transaction, signals: Sequence[Signal]) -> Mapping[tuple[str, str, str], int]:
    """Return how many episodes these signals have had; what had none is missing."""
    numbers: dict[tuple[str, str, str], int] = {}
    row = signal_episodes.c
    names = [row.repository, row.kind, row.key]
    for start in range(0, len(signals), _BATCH):
        batch = signals[start : start + _BATCH]
        query = select(*names, func.max(row.number)).where(
            row.repository.in_(sorted({signal.repository for signal in batch})),
            row.kind.in_(sorted({signal.kind for signal in batch})),
            row.key.in_(sorted({signal.key for signal in batch})),
        )
        numbers |= {(name, kind, key): number for name, kind, key, number in tx.execute(query.group_by(*names))}
    return numbers


def close(tx: Transaction, repository: str, kind: SignalKind, keys: Iterable[str], *, trace_id: str) -> None:
    """Close the episodes of signals that have ended otherwise than by a reading."""
    record(tx, [Reading(repository, kind, gone=tuple(keys))], trace_id=trace_id)


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
