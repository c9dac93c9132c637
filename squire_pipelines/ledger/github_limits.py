"""GitHub's limits, by credential and kind: the next run and every other process obey what one was told.

A credential is the hash of a token, or an App's installation; no token is kept.
"""

import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update

from squire_pipelines.domain.rate_limits import LimitKind, LimitState, LimitUse
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import github_limits

FLUSH_S = 5.0
"""What answers say of a quota is written this often; a refusal at once."""

_KEPT = timedelta(days=30)
_COLUMNS = ("blocked_until", "strikes", "quota", "remaining", "reset_at")


def read_states(tx: Transaction, credential: str) -> Mapping[LimitKind, LimitState]:
    """Return what is known of a credential's limits."""
    rows = tx.execute(select(github_limits).where(github_limits.c.credential == credential))
    return {LimitKind(row.kind): LimitState(*(getattr(row, name) for name in _COLUMNS)) for row in rows}


def record_block(tx: Transaction, credential: str, kinds: Collection[LimitKind], wait_s: float | None) -> None:
    """Store a refusal of requests of these kinds. `wait_s` is None when it named no time."""
    _change(tx, credential, {kind: lambda state: state.blocked(now=tx.now, wait_s=wait_s) for kind in kinds})


def record_use(tx: Transaction, credential: str, use: LimitUse) -> None:
    """Store what an answer said of a quota; a wait that is over ends."""
    _change(tx, credential, {use.kind: lambda state: state.used(use, now=tx.now)})


def lowest(tx: Transaction) -> Mapping[LimitKind, int]:
    """Return the least that is left of each kind in the windows that have not ended, over all credentials."""
    left: dict[LimitKind, int] = {}
    for row in tx.execute(select(github_limits).where(github_limits.c.reset_at > tx.now)):
        if row.remaining is not None:
            kind = LimitKind(row.kind)
            left[kind] = min(row.remaining, left.get(kind, row.remaining))
    return left


def worst_states(tx: Transaction) -> dict[LimitKind, LimitState]:
    """Return, for each kind, the state of the credential that is refused longest, or has least left.

    What is left of windows that have ended counts as nothing known.
    """
    states: dict[LimitKind, LimitState] = {}
    for row in tx.execute(select(github_limits).where(github_limits.c.updated_at > tx.now - _KEPT)):
        kind, state = LimitKind(row.kind), LimitState(*(getattr(row, name) for name in _COLUMNS))
        known = states.get(kind)
        if known is None or _urgency(state, tx.now) > _urgency(known, tx.now):
            states[kind] = state
    return states


def _urgency(state: LimitState, now: datetime) -> tuple[float, float]:
    blocked_s = ((state.blocked_until or now) - now).total_seconds()
    left = state.available(now)
    return max(0.0, blocked_s), 0.0 if left is None else 1.0 / (left + 1)


def _change(tx: Transaction, credential: str, changes: Mapping[LimitKind, Callable[[LimitState], LimitState]]) -> None:
    tx.exclusive(f"limits of {credential}")
    known = read_states(tx, credential)
    for kind, change in sorted(changes.items()):
        state = change(known.get(kind, LimitState()))
        values = {name: getattr(state, name) for name in _COLUMNS} | {"updated_at": tx.now}
        row = (github_limits.c.credential == credential, github_limits.c.kind == kind)
        if kind in known:
            tx.execute(update(github_limits).where(*row).values(**values))
        else:
            # A token that was replaced leaves its row: it is removed when the next one comes.
            tx.execute(delete(github_limits).where(github_limits.c.updated_at < tx.now - _KEPT))
            tx.execute(insert(github_limits).values(credential=credential, kind=kind, **values))


class LedgerLimits:
    """The store of a client's limits that all processes on one ledger share; see `github.limits.LimitStore`.

    Args:
        ledger: With its schema in place.
        monotonic: Seconds, by which what answers say is written now and then.
    """

    def __init__(self, ledger: Ledger, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._monotonic = monotonic
        self._unwritten: dict[tuple[str, LimitKind], LimitUse] = {}
        self._written_at: float | None = None

    def states(self, credential: str) -> tuple[Mapping[LimitKind, LimitState], datetime]:
        """Return what is known, and the ledger's time. Read before each request: another process may have been told."""
        with self._ledger.read() as tx:
            return read_states(tx, credential), tx.now

    def block(self, credential: str, kinds: Collection[LimitKind], wait_s: float | None) -> None:
        """Store a refusal."""
        with self._ledger.write() as tx:
            record_block(tx, credential, kinds, wait_s)

    def use(self, credential: str, use: LimitUse) -> None:
        """Store what an answer said, together with what others said meanwhile."""
        self._unwritten[credential, use.kind] = use
        if self._written_at is None or self._monotonic() - self._written_at >= FLUSH_S:
            self.close()

    def close(self) -> None:
        """Write what was not written yet."""
        if not self._unwritten:
            return
        with self._ledger.write() as tx:
            for (credential, _), use in sorted(self._unwritten.items()):
                record_use(tx, credential, use)
        self._unwritten.clear()
        self._written_at = self._monotonic()
