"""Alerts and their outbox: what changes is recorded together with the messages about it, in one transaction.

Rules are `domain.alert_steps`'; whoever sends the messages is in `alerting`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, insert, or_, select, update

from squire_pipelines.domain.alert_rules import Severity
from squire_pipelines.domain.alert_steps import AlertState, AlertStep, Silence
from squire_pipelines.domain.alert_texts import MAX_LISTED, AlertMessage, dropped_message
from squire_pipelines.domain.identity import new_id
from squire_pipelines.domain.tenant_alerts import tenant_of_alert
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import alert_messages, alert_silences, alerts
from squire_pipelines.ledger.tenants import read_owners

LOCK = "alerts"
_FIRST_WAIT_S = 5.0
_LONGEST_WAIT_S = 300.0
_MAX_WAITS = 10
_MAX_OPEN = 1000
_COLUMNS = tuple(AlertState.__slots__)
_OPEN_MESSAGE = ("queued", "sending")


@dataclass(frozen=True, slots=True)
class QueueBounds:
    """What of the messages to one target is kept while it is away: so many, for so long; the oldest go first."""

    most: int = 100
    keep: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A message that this process is to send now.

    Args:
        id: Of the message, which each try has.
        message: What it says.
        is_repeated: Whether a try before was cut off, so that nobody knows whether it has arrived.
    """

    id: str
    message: AlertMessage
    is_repeated: bool


@dataclass(frozen=True, slots=True)
class TargetQueue:
    """How the messages to one target stand; `error` says why the newest try failed, and None when it did not.

    `oldest_waiting_at` is when the oldest message that waits was put into the outbox, None where none waits.
    """

    target: str
    waiting: int
    sent: int
    dropped: int
    last_sent_at: datetime | None
    error: str | None
    oldest_waiting_at: datetime | None = None

    def has_got(self, queued_at: datetime) -> bool:
        """Return whether the target has got the message that was put into the outbox then: they are sent in order."""
        is_waiting = self.oldest_waiting_at is not None and self.oldest_waiting_at <= queued_at
        return not is_waiting and self.last_sent_at is not None and self.last_sent_at >= queued_at


# ── Alerts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def open_alerts(tx: Transaction) -> tuple[AlertState, ...]:
    """Return the alerts that are not over, the oldest first."""
    query = select(alerts).where(alerts.c.ended_at.is_(None)).order_by(alerts.c.began_at, alerts.c.id).limit(_MAX_OPEN)
    return tuple(_state(row) for row in tx.execute(query))


def ended_alerts(tx: Transaction, *, limit: int) -> tuple[AlertState, ...]:
    """Return the alerts that are over, the newest first."""
    query = select(alerts).where(alerts.c.ended_at.is_not(None))
    return tuple(_state(row) for row in tx.execute(query.order_by(alerts.c.ended_at.desc()).limit(limit)))


def of_one_tenant(tx: Transaction, states: Iterable[AlertState], tenant: str) -> tuple[AlertState, ...]:
    """Return those alerts that are a tenant's: about its repositories, as they were when the alert ended."""
    owners = read_owners(tx)
    return tuple(
        state
        for state in states
        if tenant_of_alert(state.subject, partial(owners.tenant_at, moment=state.ended_at)) == tenant
    )


def _state(row: Row[*tuple[Any, ...]]) -> AlertState:
    values = {name: getattr(row, name) for name in _COLUMNS}
    worst = values["notified_severity"]
    values |= {"severity": Severity(row.severity), "notified_severity": Severity(worst) if worst else None}
    return AlertState(**values)


def record_step(
    tx: Transaction, step: AlertStep, message: AlertMessage | None, targets: Collection[str], bounds: QueueBounds
) -> None:
    """Record what became of the alerts, and put the message about it into the outbox, once for each target."""
    known = set(tx.execute(select(alerts.c.id).where(alerts.c.id.in_([state.id for state in step.changed]))).scalars())
    for state in step.changed:
        values = {name: getattr(state, name) for name in _COLUMNS} | {"updated_at": tx.now}
        if state.id in known:
            tx.execute(update(alerts).where(alerts.c.id == state.id).values(**values))
        else:
            tx.execute(insert(alerts).values(**values))
    if message is not None:
        for target in targets:
            _queue(tx, target, message)
            _drop_beyond(tx, target, bounds.most)


# ── The outbox ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _queue(tx: Transaction, target: str, message: AlertMessage, *, reports_drops: bool = False) -> None:
    # What says which messages were dropped is itself never dropped, or nobody would say so.
    values = {"state": "queued", "tries": 0, "again_at": tx.now, "is_drop_reported": reports_drops}
    times = {"created_at": tx.now, "updated_at": tx.now}
    row = insert(alert_messages).values(
        id=new_id("msg_", tx.now), target=target, content=message.as_json(), **values, **times
    )
    tx.execute(row)


def _drop(tx: Transaction, condition: ColumnElement[bool]) -> int:
    values = {"state": "dropped", "ended_at": tx.now, "updated_at": tx.now}
    return tx.execute(update(alert_messages).where(_is_droppable(), condition).values(**values)).rowcount


def _is_droppable() -> ColumnElement[bool]:
    return and_(alert_messages.c.state == "queued", alert_messages.c.is_drop_reported.is_(False))


def _drop_beyond(tx: Transaction, target: str, most: int) -> None:
    row = alert_messages.c
    newest = select(row.id).where(row.target == target, _is_droppable())
    kept = tx.execute(newest.order_by(row.created_at.desc(), row.id.desc()).limit(most)).scalars().all()
    if len(kept) == most:
        _drop(tx, and_(row.target == target, row.id.not_in(kept)))


def drop_old(tx: Transaction, keep: timedelta) -> int:
    """Drop the messages that could not be delivered for so long; return how many.

    Their target gets to know it: after the next message that it takes, or by the only one that then waits for it.
    """
    row = alert_messages.c
    count = _drop(tx, row.created_at < tx.now - keep)
    unreported = select(row.target).where(row.state == "dropped", row.is_drop_reported.is_(False)).distinct()
    waiting = select(row.target).where(row.state.in_(_OPEN_MESSAGE))
    for target in tx.execute(unreported.where(row.target.not_in(waiting))).scalars().all():
        _report_drops(tx, target)
    return count


def has_old(tx: Transaction, keep: timedelta) -> bool:
    """Return whether `drop_old` would drop something."""
    row = alert_messages.c
    query = select(row.id).where(_is_droppable(), row.created_at < tx.now - keep).limit(1)
    return tx.execute(query).scalar_one_or_none() is not None


def has_waiting(tx: Transaction, target: str) -> bool:
    """Return whether a message to a target is due; `claim` says which, and waits for older ones."""
    row, far_s = alert_messages.c, timedelta(seconds=_LONGEST_WAIT_S)
    is_due = or_(
        and_(row.state == "queued", or_(row.again_at <= tx.now, row.again_at > tx.now + far_s)),
        and_(row.state == "sending", or_(row.claim_until <= tx.now, row.claim_until > tx.now + far_s)),
    )
    return tx.execute(select(row.id).where(row.target == target, is_due).limit(1)).scalar_one_or_none() is not None


def claim(tx: Transaction, target: str, claim_s: float) -> ClaimedMessage | None:
    """Return the oldest message to a target, which no other process sends within `claim_s`; None when none is due.

    The order is kept: while the oldest waits for its next try, or is being sent, no newer one is.
    """
    tx.exclusive(LOCK)
    row = alert_messages.c
    query = select(alert_messages).where(row.target == target, row.state.in_(_OPEN_MESSAGE))
    oldest = tx.execute(query.order_by(row.created_at, row.id).limit(1)).one_or_none()
    if oldest is None:
        return None
    is_cut_off = oldest.state == "sending"
    # No wait and no claim is as long as that: a later end is from before the clock was set back.
    longest = timedelta(seconds=max(claim_s, _LONGEST_WAIT_S))
    if tx.now < (oldest.claim_until if is_cut_off else oldest.again_at) <= tx.now + longest:
        return None
    values = {"state": "sending", "claim_until": tx.now + timedelta(seconds=claim_s), "updated_at": tx.now}
    tx.execute(update(alert_messages).where(row.id == oldest.id).values(tries=oldest.tries + 1, **values))
    return _message(oldest, is_repeated=is_cut_off)


def queued(tx: Transaction, target: str, *, limit: int) -> tuple[ClaimedMessage, ...]:
    """Return the messages to a target that are due and that nobody has claimed, the oldest first. Changes nothing."""
    row = alert_messages.c
    query = select(alert_messages).where(row.target == target, row.state == "queued", row.again_at <= tx.now)
    rows = tx.execute(query.order_by(row.created_at, row.id).limit(limit))
    return tuple(_message(stored, is_repeated=False) for stored in rows)


def _message(row: Row[*tuple[Any, ...]], *, is_repeated: bool) -> ClaimedMessage:
    return ClaimedMessage(row.id, AlertMessage.from_json(row.content), is_repeated)


def record_sent(tx: Transaction, message_id: str) -> None:
    """Record that a message was taken. What its target has not got before is now put into a message to it."""
    row = alert_messages.c
    values = {"state": "sent", "claim_until": None, "error": None, "ended_at": tx.now, "updated_at": tx.now}
    tx.execute(update(alert_messages).where(row.id == message_id, row.state == "sending").values(**values))
    _report_drops(tx, tx.execute(select(row.target).where(row.id == message_id)).scalar_one())


def _report_drops(tx: Transaction, target: str) -> None:
    """Queue a message that says what a target has not got, where nothing has said so yet."""
    row = alert_messages.c
    missed = and_(row.target == target, row.state == "dropped", row.is_drop_reported.is_(False))
    count, first, last = tx.execute(
        select(func.count(), func.min(row.created_at), func.max(row.created_at)).where(missed)
    ).one()
    if not count:
        return
    newest = tx.execute(select(row.content).where(missed).order_by(row.created_at.desc()).limit(MAX_LISTED)).scalars()
    titles = [content["title"] for content in newest]
    _queue(tx, target, dropped_message(count, first, last, titles), reports_drops=True)
    tx.execute(update(alert_messages).where(missed).values(is_drop_reported=True, updated_at=tx.now))


def record_failure(tx: Transaction, message_id: str, error: str) -> None:
    """Record that a message was not taken, and when it is sent again: after growing waits, at most five minutes."""
    row = alert_messages.c
    tries = tx.execute(select(row.tries).where(row.id == message_id)).scalar_one()
    wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(tries - 1, _MAX_WAITS))
    values = {"state": "queued", "claim_until": None, "error": error, "updated_at": tx.now}
    again = {"again_at": tx.now + timedelta(seconds=wait_s)}
    tx.execute(update(alert_messages).where(row.id == message_id, row.state == "sending").values(**values, **again))


def target_queues(tx: Transaction) -> tuple[TargetQueue, ...]:
    """Return how the messages to each target stand, of those that are still kept."""
    row = alert_messages.c
    counts: dict[str, dict[str, int]] = {}
    for target, state, count in tx.execute(
        select(row.target, row.state, func.count()).group_by(row.target, row.state).order_by(row.target)
    ):
        counts.setdefault(target, {})[state] = count
    last_sent = func.max(row.ended_at, type_=row.ended_at.type)
    sent = tx.execute(select(row.target, last_sent).where(row.state == "sent").group_by(row.target))
    sent_at = {line.target: line[1] for line in sent}
    oldest = func.min(row.created_at, type_=row.created_at.type)
    waits = tx.execute(select(row.target, oldest).where(row.state.in_(_OPEN_MESSAGE)).group_by(row.target))
    waiting_since = {line.target: line[1] for line in waits}
    return tuple(
        TargetQueue(
            target,
            sum(states.get(state, 0) for state in _OPEN_MESSAGE),
            states.get("sent", 0),
            states.get("dropped", 0),
            sent_at.get(target),
            _last_error(tx, target),
            waiting_since.get(target),
        )
        for target, states in counts.items()
    )


def _last_error(tx: Transaction, target: str) -> str | None:
    row = alert_messages.c
    query = select(row.error).where(row.target == target, row.state.in_(_OPEN_MESSAGE), row.error.is_not(None))
    return tx.execute(query.order_by(row.updated_at.desc()).limit(1)).scalar_one_or_none()


# ── Silences ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def silences(tx: Transaction) -> tuple[Silence, ...]:
    """Return the silences that have not ended, the one that ends first first."""
    row = alert_silences.c
    query = select(alert_silences).where(row.until > tx.now).order_by(row.until, row.id)
    names = Silence.__slots__
    return tuple(Silence(**{name: getattr(stored, name) for name in names}) for stored in tx.execute(query))


def add_silence(
    tx: Transaction, match: str, *, until: datetime, reason: str, actor: str, trace_id: str | None
) -> Silence:
    """Keep what matches from being sent until then, and record in the audit trail who wanted it."""
    silence = Silence(new_id("si", tx.now), match, reason, actor, tx.now, until)
    tx.execute(insert(alert_silences).values(**{name: getattr(silence, name) for name in Silence.__slots__}))
    detail: Mapping[str, Any] = {"until": until.isoformat(), "reason": reason, "silence": silence.id}
    record_audit(tx, actor=actor, action="alerts.silence", subject=match, trace_id=trace_id, detail=detail)
    return silence


def end_silences(tx: Transaction, names: Sequence[str], *, actor: str, trace_id: str | None) -> tuple[Silence, ...]:
    """End silences now: by their ids, or all of what they match. Raises NotFoundError for a name that none has."""
    active = silences(tx)
    ended = [silence for silence in active if {silence.id, silence.match} & set(names)]
    known = {name for silence in ended for name in (silence.id, silence.match)}
    if unknown := [name for name in names if name not in known]:
        raise NotFoundError(f"nothing is silenced as {unknown[0]}", hint="`squire alerts list` shows what is silenced")
    for silence in ended:
        tx.execute(update(alert_silences).where(alert_silences.c.id == silence.id).values(until=tx.now))
        detail = {"silence": silence.id}
        record_audit(
            tx, actor=actor, action="alerts.unsilence", subject=silence.match, trace_id=trace_id, detail=detail
        )
    return tuple(ended)
