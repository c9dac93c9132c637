"""The digest of the signals that a planner saw. Pure."""

import hashlib
from collections.abc import Iterable

from squire_pipelines.domain.signals import Signal


def signals_digest(signals: Iterable[Signal]) -> str:
    """Return 32 hexadecimal digits over the signals' refs and versions, and which of them may start work.

    Order and repetition do not matter.
    """
    facts = sorted({f"{signal.ref}\x00{signal.version}\x00{_starts(signal)}" for signal in signals})
    return hashlib.sha256("\x01".join(facts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _starts(signal: Signal) -> bool:
    return signal.verdict is not None and signal.verdict.may_start
