"""Counts what jobs and processes keep small in a home, and compares it with its bound. Nothing is changed here.

`docs/guide/bounds.md` lists all that grows; here is what would grow if its job did not run, so that it is noticed.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from squire_pipelines.backups.kept import backup_folder, kept_backups
from squire_pipelines.errors import ConfigError
from squire_pipelines.file_store.errors import FileStoreError
from squire_pipelines.file_store.opening import store_of
from squire_pipelines.ledger import delivery_body_bound, forgetting
from squire_pipelines.ledger import retention as retention_rules
from squire_pipelines.ledger.alerts import target_queues
from squire_pipelines.ledger.retention import Retention
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import plan_cache
from squire_pipelines.metrics.folding import MAX_FILES
from squire_pipelines.settings.model import Settings
from squire_pipelines.upkeep import dagster_tables
from squire_pipelines.upkeep.dagster_files import DagsterFiles
from squire_pipelines.upkeep.row_retention import forgetting_ages, retention_from
from squire_pipelines.upkeep.store_upkeep import stored_sizes

GRACE_DAYS = 2.0
"""How long after its time a thing may still be there: `clean` runs once a day, and may have failed once."""

MAX_COUNTED = 200_000

MAX_ASKING = 1_000
"""So many questions may be under way, or have failed, beside the answers that are kept."""

MAX_OF_GONE_TASKS = 100_000
"""So many rows of each table may be left of tasks that `squire tasks clean` has archived since the last `clean`."""

_DAY_S = 86_400.0
_MIB = 2**20
_BY_CLEAN = "while the daemon runs, the job `clean` does it at `retention.schedule`: see its last run in Dagster's UI"
_BY_RECOVER = "while the daemon runs, the job `recover` does it every 10 minutes: see its last run in Dagster's UI"


@dataclass(frozen=True, slots=True)
class Growth:
    """How much there is of one thing.

    Args:
        name: Of the thing, in the plural.
        count: How many there are.
        most: How many there may be; None where age is the bound.
        overdue: How many are there longer than they may be, with a grace.
        remedy: Who removes them, and where to look if it does not.
    """

    name: str
    count: int
    most: int | None
    overdue: int
    remedy: str

    @property
    def is_beyond(self) -> bool:
        """Whether there is more than may be."""
        return self.overdue > 0 or (self.most is not None and self.count > self.most)

    def __str__(self) -> str:
        """Return the thing and its bound in a few words."""
        text = f"{self.count} {self.name}" if self.most is None else f"{self.count} of {self.most} {self.name}"
        return f"{text}, {self.overdue} of them overdue" if self.overdue else text


def measure_growth(
    settings: Settings, ledger: Ledger | None, *, now: Callable[[], float] = time.time
) -> Iterator[Growth]:
    """Yield what grows in the home, with its bound.

    Args:
        settings: Of the home.
        ledger: Its ledger; None when there is none yet.
        now: The clock that the files' times are of, in seconds since 1970.
    """
    home, retention = settings.home, settings.retention
    runs = _count_runs(DagsterFiles(home.dagster).runs, settings.dagster_url_in_use)
    yield Growth("runs of Dagster", runs, retention.max_runs, 0, _BY_CLEAN)
    days = settings.agent.log_retention_days + GRACE_DAYS
    count, overdue = _count(home.attempts, "*", before=now() - days * _DAY_S)
    yield Growth("folders of attempts", count, None, overdue, _BY_RECOVER)
    days = retention.mirrors_days + GRACE_DAYS
    count, overdue = _count(home.mirrors, "*.git/HEAD", before=now() - days * _DAY_S)
    yield Growth("mirrors", count, None, overdue, _BY_CLEAN)
    count, _ = _count(home.answers, "*")
    yield Growth("answers of GitHub", count, settings.github.max_kept_answers, 0, "remove the folder; it is made again")
    count, _ = _count(home.setups, "*.tar")
    most = settings.verification.kept_setups
    yield Growth("sets of dependencies", count, most, 0, "the next verification of an attempt removes the oldest")
    count, _ = _count(home.metrics, "*.values")
    yield Growth("files of counters", count, MAX_FILES, 0, "a scrape of the metrics adds up those of ended processes")
    backups = len(kept_backups(backup_folder(settings)))
    yield Growth("backups", backups, settings.backup.keep, 0, "the next backup by schedule removes the oldest")
    yield from _stored(settings)
    if ledger is not None:
        with ledger.read() as tx:
            yield from _rows(tx, settings)


def _stored(settings: Settings) -> Iterator[Growth]:
    """Yield what is in the store of files, as the job `clean` has counted it; nothing where none is set."""
    try:
        store = store_of(settings)
        sizes = stored_sizes(store.quick()) if store is not None else None
    except (FileStoreError, ConfigError):
        return  # the store's own condition and check say why
    if sizes is not None:
        most = settings.files.max_total // _MIB
        remedy = "lower `agent.log_retention_days` or `backup.keep`, or raise `files.max_total`"
        yield Growth("MiB in the store of files", sizes.bytes // _MIB, most, 0, remedy)
        yield Growth("attempts in the store of files", sizes.attempts, None, sizes.overdue, _BY_CLEAN)


def _rows(tx: Transaction, settings: Settings) -> Iterator[Growth]:
    """Yield the ledger's rows that should have left it, and those that are bounded by their number."""
    grace, retention = timedelta(days=GRACE_DAYS), settings.retention
    rules = Retention({table: keep + grace for table, keep in retention_from(retention).keep.items()})
    for table in rules.keep:
        due = retention_rules.count_due(tx, rules, table)
        yield Growth(f"{table.replace('_', ' ')} to archive", due, None, due, _BY_CLEAN)
    for table, due in forgetting.count_due(tx, forgetting_ages(retention, grace=grace)).items():
        name = table.replace("_", " ")
        if table in forgetting.OF_GONE_TASKS:  # nothing says how long their task is gone
            yield Growth(f"{name} of tasks that are gone", due, MAX_OF_GONE_TASKS, 0, _BY_CLEAN)
        else:
            yield Growth(f"{name} to delete", due, None, due, _BY_CLEAN)
    bodies = delivery_body_bound.kept_bytes(tx)
    # Twice the bound, since they grow from one run of `recover` to the next.
    most = 2 * retention.max_delivery_bodies // _MIB
    yield Growth("MiB of bodies of deliveries", bodies // _MIB, most, 0, _BY_RECOVER)
    for queue in target_queues(tx):
        # With the message about those that were dropped, which is not dropped itself.
        most = settings.alerts.max_queued + 1
        yield Growth(f"alerts that wait for {queue.target}", queue.waiting, most, 0, "`squire alerts test` tries it")
    answers = int(tx.execute(select(func.count()).select_from(plan_cache)).scalar_one())
    most = settings.planner.cache_entries + MAX_ASKING
    yield Growth("kept answers of models", answers, most, 0, "the next answer that is kept removes the oldest")


def _count(folder: Path, pattern: str, *, before: float = 0.0) -> tuple[int, int]:
    """Return how many files there are, and how many of them were last written before a moment."""
    count = overdue = 0
    for path in islice(folder.glob(pattern), MAX_COUNTED):
        try:
            changed = path.stat().st_mtime
        except OSError:
            continue  # removed meanwhile
        count += 1
        overdue += changed < before
    return count, overdue


def _count_runs(database: Path, url: str | None) -> int:
    """Return how many runs Dagster keeps, on Postgres where there is a `url`; 0 where it has no storage yet."""
    if url is not None:
        try:
            return dagster_tables.count_runs(url)
        except SQLAlchemyError:
            return 0  # it is being made, or the daemon's condition says what is wrong with it
    if not database.is_file():
        return 0
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
    except sqlite3.Error:
        return 0  # it is being made, or is being rewritten
