"""Turns to write to GitHub for all machines on one ledger: each write of a credential has a moment of its own."""

import asyncio
from datetime import timedelta

from sqlalchemy import delete, insert, select, update

from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import role_leases

_PREFIX = "github writes "
_MAX_WAIT = timedelta(seconds=60)
_KEPT = timedelta(days=30)
_CHARS = 24


class LedgerWriteTurns:
    """Gives out the moments in which a credential may write; `github.write_turns` does so for one home, by a file.

    Args:
        ledger: On Postgres, with its schema in place.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def take(self, interval_s: float, credential: str = "") -> None:
        """Wait for a turn, which is `interval_s` after the one before it; nobody waits longer than a minute.

        Raises:
            LedgerError: The ledger does not answer.
        """
        with self._ledger.write() as tx:
            wait_s = reserve(tx, credential, interval_s)
        await asyncio.sleep(wait_s)


def reserve(tx: Transaction, credential: str, interval_s: float) -> float:
    """Reserve the next turn of a credential, and return in how many seconds it is."""
    role = f"{_PREFIX}{credential[:_CHARS]}"
    tx.exclusive(role)
    row = tx.execute(select(role_leases.c.lease_until).where(role_leases.c.role == role)).one_or_none()
    moment = tx.now if row is None else min(max(tx.now, row.lease_until), tx.now + _MAX_WAIT)
    values = {"lease_until": moment + timedelta(seconds=interval_s), "taken_at": moment}
    if row is None:  # a token that was replaced leaves its row
        old = role_leases.c.role.startswith(_PREFIX, autoescape=True) & (role_leases.c.lease_until < tx.now - _KEPT)
        tx.execute(delete(role_leases).where(old))
        tx.execute(insert(role_leases).values(role=role, holder="", version="", token=1, **values))
    else:
        tx.execute(update(role_leases).where(role_leases.c.role == role).values(**values))
    return (moment - tx.now).total_seconds()
