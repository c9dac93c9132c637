"""A person's word on what a signal may start, by a command, on the board or in Dagster's UI.

It is recorded, and planned anew from.
"""

from dataclasses import dataclass

from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.signals import OpenPullRequest, Signal
from squire_pipelines.ledger import decisions, deliveries
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import bound_context
from squire_pipelines.planning.selection import BACKGROUND


@dataclass(frozen=True, slots=True)
class DecidedSignal:
    """A signal after the decision, and the trace of it."""

    signal: Signal
    trace_id: str


def decide_signal(
    ledger: Ledger,
    name: str,
    *,
    repository: str | None,
    release: bool,
    actor: str,
    reason: str,
    text_version: str | None = None,
    trace_id: str | None = None,
) -> DecidedSignal:
    """Record what a person decides about a signal's text as it is now, and ask for its repository to be read.

    Args:
        ledger: The ledger.
        name: The signal's id or reference.
        repository: Of the signal, where the reference alone is not enough.
        release: Whether it may start work.
        actor: The person.
        reason: The person's reason.
        text_version: The version that the person has read; None where that is not known.
        trace_id: Of what the person has asked with, where that has one.

    Raises:
        NotFoundError: There is no such signal.
        RefusedError: It is gone or starts no work, or its text has changed since it was read.
    """
    trace_id = trace_id or new_trace_id()
    with bound_context(trace_id=trace_id), ledger.write() as tx:
        stored = decisions.find(tx, name, repository=repository)
        decided = decisions.decide(
            tx,
            stored,
            release=release,
            actor=actor,
            reason=reason,
            trace_id=trace_id,
            text_version=text_version,
        )
        # What it may start is planned anew, from the text as it is then.
        deliveries.request_collection(
            tx, [decided.repository], source=DeliverySource.COMMAND, trace_id=trace_id, fresh=True
        )
    return DecidedSignal(decided, trace_id)


def verdict_of(signal: Signal) -> str:
    """Return whether a signal may start work, and why, as one sentence."""
    if isinstance(signal.details, OpenPullRequest):
        return f"no: {BACKGROUND}"
    if signal.verdict is None:
        return "not judged yet: the next collection judges it"
    return f"{'yes' if signal.verdict.may_start else 'held'}: {signal.verdict.reason}"
