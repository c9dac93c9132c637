"""A ledger with a million attempts and all that belongs to them, made within SQLite in two minutes.

`big_ledger.sql` makes the rows set-wise, without triggers and indexes, which are put back afterwards. They are shaped
like real ones; nothing is random, so that two of these ledgers are alike.
"""

import os
import sqlite3
from pathlib import Path

from squire_pipelines.ledger.store import Ledger

SECONDS = 365 * 86400
"""The history goes back a year from its last moment."""

_SCRIPT = Path(__file__).with_suffix(".sql")


def make(path: Path, *, attempts: int, last: int) -> None:
    """Make the ledger at `path`, whose last moment is `last` (seconds since 1970); whole, or not there."""
    building = path.with_suffix(".building")
    for left in path.parent.glob(f"{building.name}*"):
        left.unlink()
    ledger = Ledger(f"sqlite:///{building}")
    ledger.ensure_schema()
    ledger.close()
    connection = sqlite3.connect(building, isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-500000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    extras = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    ).fetchall()
    for kind, name, _ in extras:
        connection.execute(f'DROP {kind} "{name}"')
    connection.execute(
        "CREATE TEMP TABLE given AS SELECT ? AS attempts, ? AS tasks, ? AS began, ? AS last",
        [attempts, attempts * 5 // 6, last - SECONDS, last],
    )
    connection.execute(
        "CREATE TEMP TABLE numbers AS WITH RECURSIVE counted (n) AS "
        "(SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n < ?) SELECT n FROM counted",
        [attempts],
    )
    connection.executescript(_SCRIPT.read_text(encoding="utf-8"))
    for _, _, sql in sorted(extras):
        connection.execute(sql)
    connection.execute("ANALYZE")
    connection.close()
    with building.open("rb") as written:
        os.fsync(written.fileno())
    building.replace(path)
