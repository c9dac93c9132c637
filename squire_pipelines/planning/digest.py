"""The digest of the signals that a planner saw. Pure."""

import hashlib
from collections.abc import Iterable

from squire_pipelines.domain.signals import Signal


def signals_digest(signals: Iterable[Signal]) -> str:
    """Return 32 hexadecimal digits over the signals' refs and versions; order and repetition do not matter."""
    facts = sorted({f"{signal.ref}\x00{signal.version}" for signal in signals})
    return hashlib.sha256("\x01".join(facts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
