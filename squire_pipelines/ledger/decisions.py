"""What a person decided about a signal by command: release it, or hold it. The newest decision counts."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, case, func, select, update

from squire_pipelines.domain.authority import SignalDecision, TrustRules
from squire_pipelines.domain.signals import Collection, OpenPullRequest, Signal
from squire_pipelines.domain.verdicts import apply_decision
from squire_pipelines.errors import NotFoundError, RefusedError
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import signals

MAX_REASON_CHARS = 500
_ID_DIGITS, _MAX_ID = 11, 2**31 - 1  # what an id may be on Postgres


@dataclass(frozen=True, slots=True)
class StoredSignal:
    """A signal as the ledger has it, with the newest decision about it."""

    id: int
    signal: Signal
    decision: SignalDecision | None
    first_seen_at: datetime
    last_seen_at: datetime
    gone_at: datetime | None


def with_decisions(
    tx: Transaction, readings: Sequence[Collection], rules: Callable[[str], TrustRules]
) -> list[Collection]:
    """Return readings with what people decided by command, also while they were read. `rules` are a repository's."""
    names = sorted({reading.repository for reading in readings})
    for name in names:
        tx.exclusive(f"signals of {name}")
    row = signals.c
    rows = tx.execute(
        select(row.repository, row.kind, row.key, row.decision).where(
            row.repository.in_(names), row.decision.is_not(None)
        )
    )
    decided = {
        (stored.repository, stored.kind, stored.key): decision
        for stored in rows
        if (decision := read_json(SignalDecision, stored.decision)) is not None
    }
    return [_with_decisions(reading, decided, rules) for reading in readings]


def _with_decisions(
    reading: Collection,
    decided: Mapping[tuple[str, str, str], SignalDecision],
    rules: Callable[[str], TrustRules],
) -> Collection:
    named = {signal.key: decided.get((signal.repository, signal.kind, signal.key)) for signal in reading.signals}
    if not any(named.values()):
        return reading
    trust = rules(reading.repository)
    judged = (
        signal if (decision := named[signal.key]) is None else apply_decision(signal, decision, trust)
        for signal in reading.signals
    )
    return reading.model_copy(update={"signals": tuple(judged)})


def find(tx: Transaction, name: str, *, repository: str | None = None) -> StoredSignal:
    """Return the signal of an id, or of a ref such as `open_issue:12`.

    Raises:
        NotFoundError: There is none, or more than one repository has one of that name.
    """
    row = signals.c
    query = select(row.id, row.signal, row.decision, row.first_seen_at, row.last_seen_at, row.gone_at, row.repository)
    if name.isascii() and name.isdigit():
        query = query.where(row.id == min(int(name[:_ID_DIGITS]), _MAX_ID))
    else:
        kind, _, key = name.partition(":")
        query = query.where(row.kind == kind, row.key == key)
    if repository is not None:
        query = query.where(func.lower(row.repository) == repository.lower())
    # The name as it is written comes first: an older version took other spellings for repositories of their own.
    rows = tx.execute(query.order_by(case((row.repository == repository, 0), else_=1), row.id.desc()).limit(2)).all()
    if not rows:
        raise NotFoundError(
            f"there is no signal {name!r}", hint="`squire signals list` shows the kinds and keys, `--json` the ids"
        )
    if len(rows) > 1 and rows[0].repository != repository:
        names = f"{rows[0].repository} and {rows[1].repository}"
        raise NotFoundError(f"more than one repository has a signal {name!r}: {names}", hint="add --repository")
    stored = _stored(rows[0])
    if stored is None:
        raise NotFoundError(
            f"the signal {name!r} was written by another version of Squire", hint="collect it again: `squire run`"
        )
    return stored


def decide(
    tx: Transaction,
    stored: StoredSignal,
    *,
    release: bool,
    actor: str,
    reason: str,
    trace_id: str,
    text_version: str | None = None,
) -> Signal:
    """Record a person's decision about a signal's text as it is now, and return the signal. It is audited.

    Raises RefusedError for a signal that is gone, since there is nothing to start work from, and where `text_version`
    is given and is not that of the present text: somebody changed it since the person read it.
    """
    signal = stored.signal
    if text_version is not None and text_version != signal.text_version:
        raise RefusedError(
            f"the text of {signal.ref} has changed since it had the version {text_version}",
            hint=f"read it again: `squire signals show {shlex.quote(signal.ref)}`",
        )
    if isinstance(signal.details, OpenPullRequest):
        raise RefusedError(
            f"{signal.ref} is an open pull request: it is background, and starts no work",
            hint="its remarks and failed checks are signals of their own: `squire signals list`",
        )
    if stored.gone_at is not None:
        raise RefusedError(f"{signal.ref} of {signal.repository} is gone", hint="only what is there can be decided on")
    decision = SignalDecision(
        release=release,
        by=actor,
        at=tx.now,
        reason=reason[:MAX_REASON_CHARS],
        text_version=signal.text_version,
        text_at=signal.provenance.changed_at if signal.provenance else None,
    )
    decided = apply_decision(signal, decision, TrustRules())
    tx.execute(
        update(signals)
        .where(signals.c.id == stored.id)
        .values(decision=decision.model_dump(mode="json"), signal=decided.model_dump(mode="json"), updated_at=tx.now)
    )
    record_audit(
        tx,
        actor=actor,
        action="signal.released" if release else "signal.held",
        subject=f"{signal.repository} {signal.ref}",
        trace_id=trace_id,
        detail={
            "url": signal.url,
            "text_version": decision.text_version,
            "reason": decision.reason,
            "author": signal.author.login if signal.author else None,
        },
    )
    return decided


def _stored(row: Row[tuple[int, object, object, datetime, datetime, datetime | None, str]]) -> StoredSignal | None:
    signal = read_json(Signal, row.signal)
    if signal is None:
        return None
    decision = None if row.decision is None else read_json(SignalDecision, row.decision)
    return StoredSignal(row.id, signal, decision, row.first_seen_at, row.last_seen_at, row.gone_at)
