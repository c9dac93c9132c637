"""A home as it is after a year: each day's rows come in, and retention and publication run as they would have.

Rows are those of `big_ledger` with texts of the size that real ones have, some days' worth at a time, beside deliveries
and readings. Dagster's runs are copies of a few real ones, of the days that are not purged at the end.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from squire_pipelines.ledger.audit_sealing import seal
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.operation import RetentionSettings
from squire_pipelines.upkeep.row_retention import retention_from
from squire_pipelines.warehouse.archive import archive_old_rows
from squire_pipelines.warehouse.publish import publish_warehouse
from tests.support import big_ledger

REPOSITORIES = tuple(f"acme/repository-{number:03}" for number in range(30))
SOURCES = ("open_prs", "failed_ci", "open_issues", "review_findings", "repository_tasks")
DELIVERY_BYTES = 12_000
AUDITED_PER_ATTEMPT = 20
"""Rows of the audit trail beside one for each delivery: containers, verdicts, and which secrets its runs have read."""

_TIME = "%Y-%m-%dT%H:%M:%f000Z"
_OF_TASKS = ("attempts", "task_events", "outcomes", "model_calls", "budgets")
_STEP = timedelta(days=1)
_YEAR = 365


@dataclass(frozen=True)
class YearSize:
    """How much a year has; readings are of each source of each repository, as where `collection.schedule` is hourly."""

    days: int = 365
    attempts: int = 30_000
    deliveries: int = 300_000
    readings_per_day: int = 24
    retention_days: int = 1

    @property
    def attempts_per_year(self) -> int:
        """How many there would be in a whole year; those of its last days come in."""
        return self.attempts * _YEAR // self.days


class SimulatedYear:
    """Lets the days pass in a home.

    Args:
        home: Its folder; the ledger, the archive and the warehouse are made in it.
        staging: A folder for the rows that have not come in yet.
        size: Of the year.
        end: When it is over.
    """

    def __init__(self, home: Path, staging: Path, *, size: YearSize, end: datetime) -> None:
        self.home = home
        self.size = size
        self.now = end - size.days * _STEP
        self.day = 0
        self.ledger = Ledger(f"sqlite:///{home / 'ledger.sqlite'}", clock=lambda: self.now)
        self.ledger.ensure_schema()
        self._tasks = size.attempts_per_year * 5 // 6
        self._staging = staging / "year.sqlite"
        if not self._staging.exists():
            _make_staging(self._staging, size, end)

    def pass_days(self, count: int, progress: Callable[[str], None] = lambda _line: None) -> None:
        """Let days pass: each one's rows come in, and then retention and publication run."""
        for _ in range(count):
            began = time.monotonic()
            self._bring_in()
            self.now += _STEP
            self.day += 1
            seal(self.ledger)
            archived = 0
            if self.day % self.size.retention_days == 0 or self.day == self.size.days:
                result = archive_old_rows(self.ledger, self.home / "archive", retention_from(RetentionSettings()))
                archived = sum(result.rows.values())
            if self.day % 14 == 1 or self.day == self.size.days:
                publish_warehouse(self.ledger, self.home / "warehouse.duckdb")
            if self.day % 30 == 0:
                progress(f"day {self.day}: {archived} rows archived, {time.monotonic() - began:.1f} s")

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()

    def _bring_in(self) -> None:
        today = _YEAR - self.size.days + self.day
        first, after = (self._tasks * day // _YEAR for day in (today, today + 1))
        low, high = (f"{number:09x}" for number in (first, after))
        start, end = self.now, self.now + _STEP
        with closing(sqlite3.connect(self.home / "ledger.sqlite", isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("ATTACH DATABASE ? AS year", [str(self._staging)])
            connection.execute("BEGIN IMMEDIATE")
            plans = f"p{first // 20 * 20:09x}"
            _copy(connection, "plans", f"id >= '{plans}' AND id < 'p{high}'", ignore=True)
            _copy(connection, "tasks", f"id >= 't{low}' AND id < 't{high}'")
            for table in _OF_TASKS:
                _copy(connection, table, f"task_id >= 't{low}' AND task_id < 't{high}'")
            _copy(connection, "audit", f"subject >= 't{low}' AND subject < 't{high}'")
            span = f"BETWEEN '{start:%Y-%m-%dT%H:%M:%S}' AND '{end:%Y-%m-%dT%H:%M:%S}'"
            _copy(connection, "signals", f"first_seen_at {span}", ignore=True)
            _copy(connection, "signal_episodes", f"opened_at {span}", ignore=True)
            _deliver(connection, self.size.deliveries // self.size.days, start)
            _read(connection, self.size.readings_per_day, start)
            per_day = self.size.deliveries + AUDITED_PER_ATTEMPT * self.size.attempts
            _audit(connection, per_day // self.size.days, start)
            connection.execute("COMMIT")


def _make_staging(path: Path, size: YearSize, end: datetime) -> None:
    """Make the year's tasks with all that belongs to them, with texts as long as real ones."""
    # It leaves the last 5000 seconds empty; here the tasks of a day have the times of that day.
    big_ledger.make(path, attempts=size.attempts_per_year, last=int(end.timestamp()) + 5000)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("journal_mode=OFF", "synchronous=OFF"):
            connection.execute(f"PRAGMA {pragma}")
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:
            connection.execute(f'DROP TRIGGER "{name}"')
        number = "CAST(substr(repository, 17) AS INTEGER)"
        for table in ("plans", "tasks", "attempts", "outcomes", "model_calls", "budgets", "signals", "signal_episodes"):
            connection.execute(
                f"UPDATE {table} SET repository = printf('acme/repository-%03d', {number} % {len(REPOSITORIES)})"  # noqa: S608 - names of our own
            )
        connection.execute("UPDATE plans SET plan = json_object('summary', hex(randomblob(4000)))")
        connection.execute("UPDATE tasks SET spec = json_set(spec, '$.prompt', hex(randomblob(1000)))")
        connection.execute(
            "UPDATE attempts SET evidence = json_set(evidence, '$.log_tail', json_array(hex(randomblob(2000))))"
        )
        # What is open stays in the ledger: pull requests of the last days alone are.
        connection.execute(
            "UPDATE outcomes SET state = 'closed' WHERE state = 'open' AND opened_at < ?",
            [f"{end - 3 * _STEP:%Y-%m-%d}"],
        )
        connection.execute("CREATE INDEX calls_of_tasks ON model_calls (task_id)")


def _copy(connection: sqlite3.Connection, table: str, condition: str, *, ignore: bool = False) -> None:
    """Copy rows that have come in; those with numbers get new ones."""
    columns = connection.execute("SELECT name, type FROM pragma_table_info(?)", [table]).fetchall()
    names = ", ".join(f'"{name}"' for name, kind in columns if (name, kind) != ("id", "INTEGER"))
    verb = "INSERT OR IGNORE" if ignore else "INSERT"
    connection.execute(
        f"{verb} INTO {table} ({names}) SELECT {names} FROM year.{table} WHERE {condition}"  # noqa: S608 - likewise
    )


def _deliver(connection: sqlite3.Connection, count: int, start: datetime) -> None:
    """Insert a day's deliveries, which were read at once."""
    began = int(start.timestamp())
    connection.execute(
        f"""
        WITH RECURSIVE moments (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM moments WHERE n + 1 < :count),
        new AS (SELECT n, strftime('{_TIME}', :began + n * 86400.0 / :count, 'unixepoch') AS at FROM moments)
        INSERT INTO deliveries (source, delivery_id, body_sha256, event, repository, body, trace_id, received_at,
            collected_at, applied_at, tries, updated_at)
        SELECT 'github', :began || '-' || n, lower(hex(randomblob(32))), 'check_run',
            printf('acme/repository-%03d', n % {len(REPOSITORIES)}), randomblob({DELIVERY_BYTES}),
            lower(hex(randomblob(16))), at, at, at, 1, at
        FROM new
        """,  # noqa: S608 - numbers of our own
        {"count": count, "began": began},
    )


def _read(connection: sqlite3.Connection, count: int, start: datetime) -> None:
    """Insert a day's readings of all sources of all repositories; one in a hundred has found something new."""
    sources = ", ".join(f"('{name}')" for name in SOURCES)
    connection.execute(
        f"""
        WITH RECURSIVE moments (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM moments WHERE n + 1 < :count),
        repositories (r) AS (SELECT 0 UNION ALL SELECT r + 1 FROM repositories WHERE r + 1 < {len(REPOSITORIES)}),
        sources (source) AS (VALUES {sources}),
        ticks AS MATERIALIZED (
            SELECT n, strftime('{_TIME}', :began + n * 86400.0 / :count, 'unixepoch') AS at,
                lower(hex(randomblob(16))) AS trace
            FROM moments
        )
        INSERT INTO collections (repository, source, status, signals, changed, truncated, started_at, ended_at,
            trace_id, run_id, planned_at, requests, quota_cost, quota_remaining, updated_at)
        SELECT printf('acme/repository-%03d', r), source,
            CASE abs(random()) % 100 WHEN 0 THEN 'fresh' ELSE 'unchanged' END,
            5, 0, 0, at, at, trace, trace, at, 1, 1, 4000, at
        FROM ticks CROSS JOIN repositories CROSS JOIN sources
        """,  # noqa: S608 - likewise
        {"count": count, "began": int(start.timestamp())},
    )


def _audit(connection: sqlite3.Connection, count: int, start: datetime) -> None:
    """Insert a day's rows of the audit trail."""
    connection.execute(
        f"""
        WITH RECURSIVE moments (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM moments WHERE n + 1 < :count)
        INSERT INTO audit (at, actor, action, subject, detail, trace_id)
        SELECT strftime('{_TIME}', :began + n * 86400.0 / :count, 'unixepoch'), 'receiver', 'delivery.accepted',
            lower(hex(randomblob(16))), json_object('repository', printf('acme/repository-%03d', n % 30)),
            lower(hex(randomblob(16)))
        FROM moments
        """,  # noqa: S608 - likewise
        {"count": count, "began": int(start.timestamp())},
    )
