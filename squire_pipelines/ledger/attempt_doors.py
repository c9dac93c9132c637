"""Where the doors of attempts are. Written by whoever has an attempt's lease, and gone when the attempt has ended."""

from sqlalchemy import delete, insert, select, update

from squire_pipelines.domain.door_addresses import DoorAddress, RegisteredDoor
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.errors import LeaseLostError
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempt_doors, attempts

_UNDER_WAY = (AttemptStatus.RUNNING, AttemptStatus.PUBLISHING)


def register(tx: Transaction, door: RegisteredDoor, attempt_id: str, lease_token: str) -> None:
    """Write where the door of a unit is from now on, in place of where it was.

    Args:
        tx: The transaction.
        door: The unit's.
        attempt_id: The attempt that the unit belongs to.
        lease_token: Of the attempt's lease, without which nobody writes.

    Raises:
        LeaseLostError: The attempt has ended, or another run has it.
    """
    # Locked, so that nobody adopts or ends the attempt between this look and the row.
    holder = tx.execute(
        select(attempts.c.lease_token)
        .where(attempts.c.id == attempt_id, attempts.c.status.in_(_UNDER_WAY))
        .with_for_update()
    ).scalar_one_or_none()
    if holder is None or holder != lease_token:
        raise LeaseLostError(
            f"the lease of attempt {attempt_id} is lost",
            hint="the reaper ended it, or another run continues it",
        )
    # What a process of an older version has ended, which knows of no doors.
    is_open = select(attempts.c.id).where(attempts.c.status.in_(_UNDER_WAY))
    tx.execute(delete(attempt_doors).where(attempt_doors.c.attempt_id.not_in(is_open)))
    values = {
        "attempt_id": attempt_id,
        "host": door.address.host,
        "port": door.address.port,
        "token_sha256": door.token_sha256,
        "updated_at": tx.now,
    }
    done = tx.execute(update(attempt_doors).where(attempt_doors.c.unit == door.unit).values(**values))
    if not done.rowcount:
        tx.execute(insert(attempt_doors).values(unit=door.unit, **values))


def find(tx: Transaction, unit: str) -> RegisteredDoor | None:
    """Return the door that a unit has now; None where it has none, or its attempt has ended."""
    row = tx.execute(
        select(attempt_doors)
        .join(attempts, attempts.c.id == attempt_doors.c.attempt_id)
        .where(attempt_doors.c.unit == unit, attempts.c.status.in_(_UNDER_WAY))
    ).one_or_none()
    return None if row is None else RegisteredDoor(row.unit, DoorAddress(row.host, row.port), row.token_sha256)


def remove(tx: Transaction, unit: str, attempt_id: str, lease_token: str) -> bool:
    """Remove the door of a unit; return False where the attempt's lease is another's, who has the door then."""
    ours = select(attempts.c.id).where(attempts.c.id == attempt_id, attempts.c.lease_token == lease_token)
    done = tx.execute(delete(attempt_doors).where(attempt_doors.c.unit == unit, attempt_doors.c.attempt_id.in_(ours)))
    return bool(done.rowcount)


def remove_of_attempt(tx: Transaction, attempt_id: str) -> None:
    """Remove all doors of an attempt that ends, whoever supervised its containers."""
    tx.execute(delete(attempt_doors).where(attempt_doors.c.attempt_id == attempt_id))
