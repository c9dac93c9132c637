"""Publication: the ledger, read in one transaction, as a new DuckDB file in the place of the one before.

Reading the file is `query`'s; when to publish is the caller's to decide.
"""

import errno
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import duckdb

from squire_pipelines.errors import WarehouseError
from squire_pipelines.ledger import tasks
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.warehouse import files, schema

BATCH = 1000
"""Rows that are in our own memory at once."""

SPILL_FACTOR = 16
"""How many times the memory limit DuckDB may spill to the disk while it builds."""

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published. `watermark` is the newest event's id; rows are counted per table, sizes are in bytes."""

    rows: Mapping[str, int]
    bytes: int
    seconds: float
    watermark: int
    published_at: datetime


def publish(ledger: Ledger, path: Path, *, memory_limit: int, wait_s: float = 60) -> Publication:
    """Publish the whole ledger at `path`.

    Readers that have the file before open keep it; whoever opens it next sees the new one. Until the very end nothing
    at `path` changes, whatever goes wrong.

    Args:
        ledger: Read in one transaction, so that the file shows one moment.
        path: The warehouse's file; its folder is made when needed.
        memory_limit: Bytes for DuckDB while it builds.
        wait_s: How long to wait for another publisher to finish.

    Raises:
        WarehouseError: Another process is publishing, or the file cannot be built or put in its place.
        LedgerError: The ledger does not answer.
    """
    started = time.monotonic()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.publication_lock(path, wait_s=wait_s), files.new_file(path) as building:
            with ledger.read() as tx:
                rows, watermark = _build(tx, building, memory_limit)
                published_at = tx.now
            if os.path.lexists(f"{building}.wal"):
                message = f"DuckDB left a write-ahead log beside {building.name}"
                raise WarehouseError(message, hint="publish again")
            size = building.stat().st_size
            files.put_in_place(building, path)
    except OSError as error:
        raise _cannot_publish(path, str(error.strerror or error), full=error.errno in _DISK_FULL) from error
    except duckdb.Error as error:
        reason = str(error).strip().partition("\n")[0]
        memory = isinstance(error, duckdb.OutOfMemoryException)
        full = not memory and any(os.strerror(number) in str(error) for number in _DISK_FULL)
        raise _cannot_publish(path, reason, full=full, memory=memory) from error
    return Publication(MappingProxyType(rows), size, time.monotonic() - started, watermark, published_at)


def _build(tx: Transaction, building: Path, memory_limit: int) -> tuple[dict[str, int], int]:
    watermark = tasks.last_event_id(tx)
    with duckdb.connect(
        str(building),
        config={
            "memory_limit": f"{memory_limit}B",
            "threads": 1,
            "temp_directory": f"{building}.spill",
            "max_temp_directory_size": f"{memory_limit * SPILL_FACTOR}B",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    ) as connection:
        # Outside of a transaction, each of the many comments would be synced to the disk by itself.
        connection.begin()
        schema.create_tables(connection)
        connection.commit()
        rows = {table: _fill(tx, connection, table) for table in schema.TABLES}
        connection.begin()
        schema.create_metrics(connection)
        connection.execute(
            "INSERT INTO _publication VALUES (?, ?::TIMESTAMPTZ, ?)", [watermark, tx.now, schema.SCHEMA_VERSION]
        )
        connection.commit()
        connection.execute("CHECKPOINT")
    return rows, watermark


def _fill(tx: Transaction, connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """Copy one table in batches. One list per column and batch: a row at a time is fifty times slower."""
    copy = schema.copy_of(connection, table)
    count = 0
    connection.begin()
    for batch in tx.execute(copy.query.execution_options(yield_per=BATCH)).partitions():
        connection.execute(copy.insert, [list(column) for column in zip(*batch, strict=True)])
        count += len(batch)
    connection.commit()
    return count


def _cannot_publish(path: Path, reason: str, *, full: bool = False, memory: bool = False) -> WarehouseError:
    hint = f"check that {path.parent} is a folder that you may write to"
    if full:
        hint = "free some disk space; what was published before is untouched"
    if memory:
        hint = "raise warehouse.memory_limit; what was published before is untouched"
    return WarehouseError(f"the warehouse {path} cannot be published: {reason}", hint=hint)
