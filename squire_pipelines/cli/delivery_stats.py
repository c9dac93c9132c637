"""Figures of the deliveries that are in the ledger: how many, of what, how soon they had an effect. Read only.

The warehouse's views have the same of all times: `deliveries_by_hour`, `delivery_effect_times`, `refused_deliveries`
and `filtered_deliveries`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, String, cast, func, select, type_coerce

from squire_pipelines.cli.delivery_queries import state_is
from squire_pipelines.domain.deliveries import REQUEST_SOURCES, DeliveryState
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import deliveries, delivery_checks, delivery_effects, delivery_refusals

MOST_TIMES = 100_000
"""The newest deliveries with an effect, of which the times are read at most."""

_HOUR_SIGNS = 13  # of 2026-03-01T12
_MOST_CHECKS = 50


@dataclass(frozen=True, slots=True)
class EffectTimes:
    """Seconds from deliveries to their first effect, without those that were replayed; None where there are none."""

    deliveries: int
    p50_s: float | None
    p95_s: float | None


@dataclass(frozen=True, slots=True)
class DeliveryStats:
    """The figures since a moment.

    Args:
        since: From when on deliveries are counted.
        until: When they were counted.
        received: How many came.
        states: How many of them are in each state.
        hours: How many came in each hour that had any, by its beginning.
        events: How many of each event, the most first; likewise repositories and senders.
        repositories: By their names.
        senders: By their logins.
        effects: How soon they had their first effect.
        refused: How many requests were refused, by source, status and reason, the most first.
        filtered: How many each rule filtered, the most first.
        checks: The newest comparison with what GitHub lists, of each webhook.
    """

    since: datetime
    until: datetime
    received: int
    states: Mapping[str, int]
    hours: Mapping[str, int]
    events: Mapping[str, int]
    repositories: Mapping[str, int]
    senders: Mapping[str, int]
    effects: EffectTimes
    refused: Sequence[Mapping[str, Any]]
    filtered: Mapping[str, int]
    checks: Sequence[Mapping[str, Any]]


def read_stats(tx: Transaction, *, since: datetime, most: int = 20) -> DeliveryStats:
    """Return the figures of deliveries that came since a moment, without requests to read a repository.

    Args:
        tx: A transaction.
        since: From when on.
        most: How many events, repositories and senders are named.
    """
    row = deliveries.c
    is_meant = (row.received_at >= since) & row.source.not_in(REQUEST_SOURCES)
    states = {
        state.value: tx.execute(select(func.count()).where(is_meant, state_is(state))).scalar_one()
        for state in DeliveryState
    }
    return DeliveryStats(
        since=since,
        until=tx.now,
        received=sum(states.values()),
        states=states,
        hours=_hours(tx, is_meant),
        events=_counted(tx, row.event, is_meant, most),
        repositories=_counted(tx, row.repository, is_meant, most),
        senders=_counted(tx, row.sender, is_meant, most),
        effects=_effect_times(tx, is_meant),
        refused=_refused(tx, since, most),
        filtered=_counted(tx, row.filtered_by, is_meant, most),
        checks=_checks(tx),
    )


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value that a share of sorted values stays below, between two of them where need be; None of none."""
    if not values:
        return None
    place = share * (len(values) - 1)
    low, high = math.floor(place), math.ceil(place)
    return values[low] + (values[high] - values[low]) * (place - low)


def _counted(
    tx: Transaction, column: ColumnElement[Any], condition: ColumnElement[bool], most: int
) -> Mapping[str, int]:
    count = func.count()
    query = select(column, count).where(condition, column.is_not(None)).group_by(column)
    rows = tx.execute(query.order_by(count.desc(), column).limit(most))
    return {row[0]: row[1] for row in rows}


def _hours(tx: Transaction, condition: ColumnElement[bool]) -> Mapping[str, int]:
    at = deliveries.c.received_at
    if tx.connection.dialect.name == "sqlite":  # text that sorts as time does
        hour: ColumnElement[str] = func.substr(type_coerce(at, String), 1, _HOUR_SIGNS)
    else:
        hour = cast(func.to_char(func.timezone("UTC", at), 'YYYY-MM-DD"T"HH24'), String)
    query = select(hour.label("hour"), func.count()).where(condition).group_by("hour").order_by("hour")
    return {f"{text}:00:00Z": count for text, count in tx.execute(query)}


def _effect_times(tx: Transaction, condition: ColumnElement[bool]) -> EffectTimes:
    row, effect = deliveries.c, delivery_effects.c
    query = (
        select(row.received_at, func.min(effect.at, type_=effect.at.type))
        .join(delivery_effects, effect.delivery == row.id)
        .where(condition, row.replays == 0)
        .group_by(row.id, row.received_at)
        .order_by(row.id.desc())
        .limit(MOST_TIMES)
    )
    seconds = sorted((first - received) / timedelta(seconds=1) for received, first in tx.execute(query))
    return EffectTimes(len(seconds), percentile(seconds, 0.5), percentile(seconds, 0.95))


def _refused(tx: Transaction, since: datetime, most: int) -> list[Mapping[str, Any]]:
    row = delivery_refusals.c
    total = func.sum(row.count)
    query = (
        select(row.source, row.status, row.reason, total.label("refused"), func.max(row.minute).label("last_at"))
        .where(row.minute >= since - timedelta(minutes=1))
        .group_by(row.source, row.status, row.reason)
        .order_by(total.desc(), row.reason)
        .limit(most)
    )
    return [dict(values) | {"refused": int(values["refused"])} for values in tx.execute(query).mappings()]


def _checks(tx: Transaction) -> list[Mapping[str, Any]]:
    row = delivery_checks.c
    newest = select(func.max(row.id)).group_by(row.hook)
    names = ("hook", "at", "since", "listed", "missing", "failed", "redelivered", "error")
    query = select(*row[names]).where(row.id.in_(newest)).order_by(row.hook).limit(_MOST_CHECKS)
    return [dict(values) for values in tx.execute(query).mappings()]
