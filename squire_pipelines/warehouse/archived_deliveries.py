"""Finds a delivery that retention has moved from the ledger to the archive, where it is without its body."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
from sqlalchemy import select

from squire_pipelines.errors import WarehouseError
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import archives
from squire_pipelines.warehouse import engine
from squire_pipelines.warehouse.answers import in_utc

_TABLE = "deliveries"
_MEMORY = 256 * 2**20
_ROW_DIGITS = 18


@dataclass(frozen=True, slots=True)
class ArchivedDelivery:
    """A delivery that is in the archive: in which file, and since when (None: the ledger does not know the file)."""

    id: int
    event: str
    action: str | None
    repository: str | None
    received_at: datetime
    file: Path
    archived_at: datetime | None


def find_archived(tx: Transaction, archive: Path, name: str) -> ArchivedDelivery | None:
    """Return the newest delivery of the archive that `name` means, by number or id; None where there is none.

    Raises:
        WarehouseError: A file of the archive cannot be read.
    """
    files = sorted(path for path in (archive / _TABLE).glob("*.parquet") if not path.name.startswith("."))
    if not files:
        return None
    row_id = int(name) if name.isascii() and name.isdecimal() and len(name) <= _ROW_DIGITS else -1
    sources = ", ".join(map(engine.literal, files))
    query = (
        "SELECT id, event, action, repository, received_at, filename "  # noqa: S608 - names of our own
        f"FROM read_parquet([{sources}], filename = true, union_by_name = true) "
        "WHERE id = ? OR delivery_id = ? ORDER BY id DESC LIMIT 1"
    )
    try:
        with engine.connect(memory_limit=_MEMORY, threads=1) as connection:
            row = connection.execute(query, [row_id, name]).fetchone()
    except (OSError, duckdb.Error) as error:
        raise WarehouseError(f"the archive {archive / _TABLE} cannot be read: {engine.reason(error)}") from error
    if row is None:
        return None
    row_number, event, action, repository, received_at, file = row
    known = select(archives.c.created_at).where(archives.c.name == f"{_TABLE}/{Path(file).name}")
    archived_at = tx.execute(known).scalar_one_or_none()
    return ArchivedDelivery(row_number, event, action, repository, in_utc(received_at), Path(file), archived_at)
