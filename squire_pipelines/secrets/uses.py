"""Counts which secrets this process reads and changes, for the audit trail, which the ledger's code writes.

Names, places and counts alone, never values. Nothing here knows of the ledger: whoever has one takes what was counted.
"""

import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

UseKind = Literal["read", "stored", "rotated", "removed"]

MAX_USES = 500
"""So many different uses are remembered until somebody takes them; of others, only the number."""

_OWN = "squire_pipelines."
_OF_SECRETS = "squire_pipelines.secrets"
_MAX_DEPTH = 12


@dataclass(frozen=True, slots=True)
class SecretUse:
    """One way in which a secret was used: which, from where, and by which part of Squire."""

    kind: UseKind
    name: str
    origin: str
    purpose: str


@dataclass(frozen=True, slots=True)
class CountedUse:
    """How often a secret was used so, and when first."""

    use: SecretUse
    count: int
    since: datetime


_lock = threading.Lock()
_counts: dict[SecretUse, tuple[int, datetime]] = {}
_OTHERS = SecretUse("read", "others", "", "")


def count_use(kind: UseKind, name: str, origin: str) -> None:
    """Count one use of a secret. Who uses it is the first module among the callers that is not one of `secrets`."""
    use = SecretUse(kind, name, origin, _caller())
    now = datetime.now(UTC)
    with _lock:
        if use not in _counts and len(_counts) >= MAX_USES:
            use = _OTHERS
        count, since = _counts.get(use, (0, now))
        _counts[use] = count + 1, since


def has_uses() -> bool:
    """Return whether there is something to take."""
    return bool(_counts)


def take_uses() -> tuple[CountedUse, ...]:
    """Return what was counted since the last time, and begin anew."""
    with _lock:
        taken = tuple(CountedUse(use, count, since) for use, (count, since) in _counts.items())
        _counts.clear()
    return taken


def put_back(uses: Iterable[CountedUse]) -> None:
    """Count uses again that could not be recorded."""
    with _lock:
        for counted in uses:
            count, since = _counts.get(counted.use, (0, counted.since))
            if counted.use in _counts or len(_counts) < MAX_USES:
                _counts[counted.use] = count + counted.count, min(since, counted.since)


def _caller() -> str:
    frame = sys._getframe(2)  # noqa: SLF001 - what `inspect` itself uses, at a hundredth of its price
    for _ in range(_MAX_DEPTH):
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_OWN) and not module.startswith(_OF_SECRETS):
            return str(module.removeprefix(_OWN))
        if frame.f_back is None:
            break
        frame = frame.f_back
    return ""
