"""What replaying a stored delivery would do, and doing it: it is read again, and no effect is repeated.

Which ones are selected, and what a person is asked and shown, is the command's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import JsonValue
from sqlalchemy import select

from squire_pipelines.domain.deliveries import REQUEST_SOURCES, DeliverySource, DeliveryState, Effect
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.errors import DeliveryError
from squire_pipelines.github.events import ParsedDelivery, parse_delivery
from squire_pipelines.ledger import deliveries as inbox_rows
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.delivery_effects import RecordedEffect
from squire_pipelines.ledger.delivery_repetitions import REPEATED_RULE
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import deliveries
from squire_pipelines.webhooks.filtering import DeliveryJudge
from squire_pipelines.webhooks.verification import SignatureState, SignatureVerdict

AT_ONCE = 200
"""Deliveries that one transaction opens again: other writers wait for it."""


class ReplayVerdict(StrEnum):
    """What replaying a delivery comes to."""

    REPLAY = "replay"
    NOTHING = "nothing"
    WAITS = "waits"
    FILTERED = "filtered"
    REFUSED = "refused"
    CHANGED = "changed"


_AGAIN = ReplayVerdict.REPLAY, "it is read again"
_DONE = ReplayVerdict.NOTHING, "it was done already, and nothing of it is repeated"
_WAITS = ReplayVerdict.WAITS, "it waits already, and is done without a replay"


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What replaying one delivery would do.

    Args:
        id: The delivery's row.
        verdict: Whether it would be read again.
        reason: Why, or why not, in words.
        reads: What would be read: the repository, or what another sender delivered; None where nothing is.
        applies: What would be applied, in words.
        recorded: The effects that are recorded with it already, and are not repeated.
        updated_at: When the row changed last, as it was seen.
        repository: What it is about, as the settings spell it; None where it names none of theirs.
    """

    id: int
    verdict: ReplayVerdict
    reason: str
    reads: str | None = None
    applies: tuple[str, ...] = ()
    recorded: tuple[RecordedEffect, ...] = ()
    updated_at: datetime | None = None
    repository: str | None = None


def plan_replay(
    row: Mapping[str, Any],
    body: bytes,
    effects: Sequence[RecordedEffect],
    *,
    signature: SignatureVerdict,
    judge: DeliveryJudge,
    watched: Collection[str],
    unverified: bool = False,
    repeats: int | None = None,
) -> ReplayPlan:
    """Return what replaying a delivery would do. Changes nothing.

    Args:
        row: Its columns, and its `state`.
        body: As it was signed.
        effects: Those that are recorded with it.
        signature: Whether its signature holds now.
        judge: Has the rules that hold now.
        watched: The repositories of the settings.
        unverified: Whether one whose signature does not hold is replayed all the same.
        repeats: The row of the earlier delivery whose body it has, where it was filtered for that.
    """
    if row["source"] not in set(DeliverySource):
        return _plan_of_sender(row, effects, signature=signature, judge=judge, unverified=unverified)
    parsed, outcome = _read(row, body, watched)
    reads: str | None = None
    spelled: str | None = None
    applies: tuple[str, ...] = ()
    if parsed is not None:
        spelled = _spelled(parsed, watched)
        reads = spelled if judge.asks_for_reading(parsed) and not _was_read(row, effects) else None
        applies = () if _was_applied(row) else applied_words(parsed)
        if reads is None and not applies:
            outcome = _DONE
        elif (rule := judge.rule_of(parsed)) is not None:
            outcome = ReplayVerdict.FILTERED, f"the rule {rule} filters it"
        elif repeats is not None:
            outcome = ReplayVerdict.FILTERED, f"it repeats delivery {repeats}, so that {REPEATED_RULE} filters it again"
        elif signature.state is not SignatureState.VALID and not unverified:
            outcome = ReplayVerdict.REFUSED, f"its signature is {signature.state}: {signature.reason}"
    verdict, reason = outcome
    if verdict is not ReplayVerdict.REPLAY:
        reads, applies = None, ()
    return ReplayPlan(row["id"], verdict, reason, reads, applies, tuple(effects), row["updated_at"], spelled)


def _plan_of_sender(
    row: Mapping[str, Any],
    effects: Sequence[RecordedEffect],
    *,
    signature: SignatureVerdict,
    judge: DeliveryJudge,
    unverified: bool,
) -> ReplayPlan:
    """Return what replaying another sender's delivery would do, of which the collection reads all that it says."""
    reads = None
    if row["state"] == DeliveryState.WAITING:
        verdict, reason = _WAITS
    elif row["state"] == DeliveryState.DONE:
        verdict, reason = _DONE
    elif (rule := judge.rule_of_sender(row["source"], row["event"])) is not None:
        verdict, reason = ReplayVerdict.FILTERED, f"the rule {rule} filters it"
    elif signature.state is not SignatureState.VALID and not unverified:
        verdict, reason = ReplayVerdict.REFUSED, f"its signature is {signature.state}: {signature.reason}"
    else:
        verdict, reason = _AGAIN
        reads = f"what {row['source']} says"
    return ReplayPlan(row["id"], verdict, reason, reads, (), tuple(effects), row["updated_at"])


def _read(
    row: Mapping[str, Any], body: bytes, watched: Collection[str]
) -> tuple[ParsedDelivery | None, tuple[ReplayVerdict, str]]:
    """Return what a delivery says where it may be replayed, and the verdict as far as it is known by that."""
    if row["source"] in REQUEST_SOURCES:
        request = "it is a request to read a repository: `squire signals collect` makes another"
        return None, (ReplayVerdict.REFUSED, request)
    if row["state"] == DeliveryState.WAITING:
        return None, _WAITS
    try:
        parsed = parse_delivery(row["event"], body, known_as=row["repository"])
    except DeliveryError as error:
        return None, (ReplayVerdict.REFUSED, error.message)
    if (reason := _why_nothing(parsed, watched)) is not None:
        return None, (ReplayVerdict.NOTHING, reason)
    return parsed, _AGAIN


def _why_nothing(parsed: ParsedDelivery, watched: Collection[str]) -> str | None:
    if not parsed.relevant:
        return "it says nothing that Squire acts on"
    if not parsed.of_account and _spelled(parsed, watched) is None:
        return f"its repository, {parsed.repository}, is none of the settings'"
    return None


def _spelled(parsed: ParsedDelivery, watched: Collection[str]) -> str | None:
    """Return what a delivery is about as the settings spell it; one that came before it was in them has GitHub's."""
    return {name.casefold(): name for name in watched}.get((parsed.repository or "").casefold())


def _was_read(row: Mapping[str, Any], effects: Sequence[RecordedEffect]) -> bool:
    """Return whether its repository was read for it, for which a reading has to have been requested."""
    if any(effect.effect == Effect.COLLECTED for effect in effects):
        return True
    return bool(row["state"] == DeliveryState.DONE and row["tries"] > 0)


def _was_applied(row: Mapping[str, Any]) -> bool:
    """Return whether what it says was applied; where nothing was to be done with it, it was closed in one moment."""
    return bool(row["state"] == DeliveryState.DONE and row["applied_at"] != row["collected_at"])


def applied_words(parsed: ParsedDelivery) -> tuple[str, ...]:
    """Return what applying a delivery looks at, in words; what is recorded of it already changes nothing."""
    words = []
    if parsed.report is not None:
        words.append(f"pull request {parsed.report.repository}#{parsed.report.number}, {parsed.report.state}")
    if parsed.reverts is not None:
        words.append(f"reverts of {', '.join(f'#{number}' for number in parsed.reverts.numbers)}")
    if parsed.checks is not None:
        words.append(f"checks of {parsed.checks.head_sha[:12]}, {parsed.checks.state}")
    if parsed.push is not None:
        words.append(f"pull requests into {parsed.push.branch}")
    if parsed.label is not None:
        words.append(f"the label {parsed.label.name} on #{parsed.label.number}")
    if parsed.change is not None:
        words.append(f"the repository, {parsed.change.action}")
    if parsed.installation is not None:
        words.append(f"the App's installation at {parsed.installation.account}, {parsed.installation.action}")
    if parsed.dashboard:
        words.append("the dashboard")
    return tuple(words) or ("what it says",)


def replay(ledger: Ledger, plans: Sequence[ReplayPlan], *, actor: str, unverified: bool = False) -> tuple[int, ...]:
    """Have deliveries read again, as their plans say; return those that somebody has changed since they were planned.

    The audit trail has a row for each. Raises LedgerError.

    Args:
        ledger: Has them.
        plans: Those to do; at most `AT_ONCE` are opened in one transaction.
        actor: Who wants it.
        unverified: Whether signatures were not to hold, for the audit trail.
    """
    changed: list[int] = []
    trace_id = new_trace_id()
    for start in range(0, len(plans), AT_ONCE):
        batch = plans[start : start + AT_ONCE]
        with ledger.write() as tx:
            row = deliveries.c
            query = select(row.id, row.delivery_id, row.updated_at).where(row.id.in_([plan.id for plan in batch]))
            # Until this transaction ends, nobody else changes them.
            present = {values.id: values for values in tx.execute(query.with_for_update())}
            for plan in batch:
                known = present.get(plan.id)
                if known is None or known.updated_at != plan.updated_at:
                    changed.append(plan.id)
                    continue
                inbox_rows.reopen(
                    tx,
                    [plan.id],
                    collects=plan.reads is not None,
                    applies=bool(plan.applies),
                    repository=plan.repository,
                )
                detail: dict[str, JsonValue] = {"reads": plan.reads, "applies": list(plan.applies)}
                if unverified:
                    detail["unverified"] = True
                record_audit(
                    tx,
                    actor=actor,
                    action="delivery.replayed",
                    subject=known.delivery_id,
                    trace_id=trace_id,
                    detail=detail,
                )
    return tuple(changed)
