"""Roles that one process of all machines has at a time, such as the steward's. Times are the ledger's."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update

from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import role_leases

STEWARD = "steward"
"""Whoever runs Dagster's daemon: sensors, schedules and the queue of runs."""


@dataclass(frozen=True, slots=True)
class RoleLease:
    """Who has a role: the process's machine and home, its version, and the number of the change of hands."""

    role: str
    holder: str
    version: str
    token: int
    taken_at: datetime
    lease_until: datetime

    def is_over(self, now: datetime) -> bool:
        """Return whether another process may take the role."""
        return self.lease_until <= now


def take(tx: Transaction, role: str, holder: str, *, version: str, lease_s: float) -> RoleLease:
    """Take a role that nobody has, whose lease is over, or that this holder had. Returns who has it now.

    Args:
        tx: The transaction.
        role: Such as `STEWARD`.
        holder: Who asks; one of a name at a time, which its home's lock sees to.
        version: Of Squire.
        lease_s: For how many seconds.
    """
    tx.exclusive(f"role {role}")
    before = read(tx, role)
    if before is not None and before.holder != holder and not before.is_over(tx.now):
        return before
    after = RoleLease(
        role, holder, version, 1 if before is None else before.token + 1, tx.now, tx.now + timedelta(seconds=lease_s)
    )
    values = {name: getattr(after, name) for name in ("holder", "version", "token", "taken_at", "lease_until")}
    if before is None:
        tx.execute(insert(role_leases).values(role=role, **values))
    else:
        tx.execute(update(role_leases).where(role_leases.c.role == role).values(**values))
    return after


def prolong(tx: Transaction, lease: RoleLease, *, lease_s: float) -> bool:
    """Prolong a lease, also one that is over while nobody else has taken the role; return False when somebody has."""
    done = tx.execute(
        update(role_leases)
        .where(role_leases.c.role == lease.role, role_leases.c.token == lease.token)
        .values(lease_until=tx.now + timedelta(seconds=lease_s))
    )
    return done.rowcount == 1


def give_up(tx: Transaction, lease: RoleLease) -> None:
    """Leave the role to another process at once; nothing where somebody else has it already."""
    tx.execute(delete(role_leases).where(role_leases.c.role == lease.role, role_leases.c.token == lease.token))


def read(tx: Transaction, role: str) -> RoleLease | None:
    """Return who has a role or had it last; None when nobody has, and whoever had it has left it."""
    row = tx.execute(select(role_leases).where(role_leases.c.role == role)).one_or_none()
    return None if row is None else RoleLease(*(getattr(row, name) for name in RoleLease.__slots__))
