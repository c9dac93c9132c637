"""The digest of the signals that a planner saw. Pure."""

import hashlib
from collections.abc import Iterable

from squire_pipelines.domain.signals import OpenIssue, Signal


def signals_digest(signals: Iterable[Signal]) -> str:
    """Return 32 hexadecimal digits over the signals' refs and versions, and which of them may start work.

    The labels of issues count too, since filters choose by them. Order and repetition do not matter.
    """
    facts = sorted(
        {"\x00".join((signal.ref, signal.version, str(_starts(signal)), *_labels(signal))) for signal in signals}
    )
    return hashlib.sha256("\x01".join(facts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _labels(signal: Signal) -> tuple[str, ...]:
    return signal.details.labels if isinstance(signal.details, OpenIssue) else ()


def _starts(signal: Signal) -> bool:
    return signal.verdict is not None and signal.verdict.may_start
