"""The ledger under load: transitions, waits, bulk changes, claims, pages of lists: `make bench-ledger`.

The drivers alone make the same writes to the same tables by turns with ours, and the targets are ratios of the two: a
busy machine slows both. `SQUIRE_BENCH_SECONDS` is how long each of the rounds takes, `SQUIRE_BENCH_PAGES=0` leaves the
pages out, whose tables of a million tasks take minutes to fill.
"""

import os
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from squire_pipelines.ledger import bulk
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.task_query import TaskQuery
from tests.support import ledger_load
from tests.support.audit_load import audit_share
from tests.support.figures import Figure, percentile, report
from tests.support.ledgers import TRACE, PostgresServer, add_tasks, dispatch, spec, sqlite_ledger_file

SECONDS = float(os.environ.get("SQUIRE_BENCH_SECONDS", "3"))
ROUNDS = 5
BULK_ROUNDS = 3
BULK_TARGETS = {"SQLite": 3.0, "Postgres": 10.0}
"""The most that a bulk change may take of what its bare writes take.

It also locks and reads the tasks, and reports each of them. Beside Postgres without fsync that is most of the work.
"""

AUDIT_PAIRS = 300
PROCESSES = 4
CLAIMERS = 16
MANY = 10_000


def fill(url: str, count: int) -> tuple[str, ...]:
    """Add tasks that are ready, and return their ids."""
    ledger = Ledger(url)
    ids: list[str] = []
    for start in range(0, count, 1000):
        ids += add_tasks(ledger, *(spec(f"k{number}") for number in range(start, min(count, start + 1000))))
    ledger.close()
    return tuple(ids)


def sqlite_transitions(folder: Path) -> list[Figure]:
    """Measure ours and raw by turns, each on a ledger of its own that stays the same through the rounds."""
    ours, raw = folder / "ours.sqlite", folder / "raw.sqlite"
    rates: dict[Path, list[float]] = {ours: [], raw: []}
    waits: dict[Path, list[float]] = {ours: [], raw: []}
    ids = {path: fill(f"sqlite:///{sqlite_ledger_file(path)}", 400) for path in (ours, raw)}
    for number in range(ROUNDS):
        for path in (ours, raw) if number % 2 else (raw, ours):
            work = ledger_load.change_without_pause if path is ours else ledger_load.change_raw
            place = f"sqlite:///{path}" if path is ours else str(path)
            # A task is somewhere between two states after a round, so that each round has tasks of its own.
            own = ids[path][number * 80 : (number + 1) * 80]
            calls = [(place, own[process::PROCESSES], SECONDS) for process in range(PROCESSES)]
            loads = ledger_load.together(work, calls)
            rates[path].append(sum(load.changes for load in loads) / SECONDS)
            waits[path] += [wait for load in loads for wait in load.waits_s]
    shares = [one / other for one, other in zip(rates[ours], rates[raw], strict=True)]
    wait, raw_wait = max(waits[ours]), max(waits[raw])
    name = f"SQLite, {PROCESSES} processes"
    return [
        Figure(f"{name}: transitions", statistics.median(rates[ours]), "/s"),
        Figure(f"{name}: raw sqlite3, the same writes", statistics.median(rates[raw]), "/s"),
        Figure(f"{name}: share of raw", statistics.median(shares), "x", 0.2, at_least=True),
        Figure(f"{name}: wait for a turn, p99", percentile(waits[ours], 0.99), "s"),
        Figure(f"{name}: wait for a turn, longest", wait, "s"),
        Figure(f"{name}: raw sqlite3, longest wait", raw_wait, "s"),
        Figure(f"{name}: longest wait as a share of raw's", wait / raw_wait, "x", 1),
    ]


def postgres_transitions(server: PostgresServer) -> list[Figure]:
    """Measure the same on Postgres, for comparison: nobody waits for a turn there, but for a row."""
    url = server.empty_ledger()
    ids = fill(url, 400)
    calls = [(url, ids[process::PROCESSES], SECONDS) for process in range(PROCESSES)]
    loads = ledger_load.together(ledger_load.change_without_pause, calls)
    rate = sum(load.changes for load in loads) / SECONDS
    return [Figure(f"Postgres, {PROCESSES} processes: transitions (no fsync)", rate, "/s")]


def audit_cost(name: str, url: str) -> list[Figure]:
    """Measure what the audit trail adds to the transitions of an attempt, sealing included."""
    share, without, with_trail = audit_share(url, AUDIT_PAIRS)
    return [
        Figure(f"{name}: one attempt's transactions", without * 1000, "ms"),
        Figure(f"{name}: one attempt's transactions with the audit trail", with_trail * 1000, "ms"),
        Figure(f"{name}: what the audit trail adds", share, "x", 0.05),
    ]


# What a bulk change writes, as the drivers write it: parameters are marked as each of them wants it.
_UPDATE = """
UPDATE tasks
SET status = :after, ended_at = :ended, cause = :cause, message = :cause, ready_at = :now, updated_at = :now
WHERE status = :before
"""
_EVENTS = """
INSERT INTO task_events (task_id, subject, before, after, actor, reason, trace_id, at)
SELECT id, 'task', :before, :after, 'bench', 'bench', trace_id, :now FROM tasks WHERE status = :after
"""


def bulk_changes(
    name: str, url: str, raw_url: str, raw_change: Callable[[str, Mapping[str, str | None]], None]
) -> list[Figure]:
    """Cancel and retry ten thousand tasks in one transaction each, by turns with the driver alone on another ledger."""
    fill(url, MANY)
    fill(raw_url, MANY)
    ledger = Ledger(url)
    times: dict[str, list[tuple[float, float]]] = {"cancel": [], "retry": []}
    for _ in range(BULK_ROUNDS):
        for change, before in ((bulk.cancel("bench"), "ready"), (bulk.retry(1), "cancelled")):
            began = time.perf_counter()
            with ledger.write() as tx:
                report = bulk.bulk_update(tx, TaskQuery(statuses=(before,)), change, actor="bench", trace_id=TRACE)
            ours = time.perf_counter() - began
            if report.count != MANY:
                raise RuntimeError(f"{report.count} tasks were changed, not {MANY}")
            now, after = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", str(change.after)
            ended, cause = (now, "cancelled") if after == "cancelled" else (None, None)
            values = {"before": before, "after": after, "ended": ended, "cause": cause, "now": now}
            began = time.perf_counter()
            raw_change(raw_url, values)
            times[change.name].append((ours, time.perf_counter() - began))
    ledger.close()
    figures = []
    for change_name, pairs in times.items():
        title = f"{name}: bulk {change_name} of {MANY} tasks"
        figures += [
            Figure(title, statistics.median(ours for ours, _ in pairs), "s"),
            Figure(f"{title}, by the driver alone", statistics.median(raw for _, raw in pairs), "s"),
            Figure(f"{title}, ratio", statistics.median(ours / raw for ours, raw in pairs), "x", BULK_TARGETS[name]),
        ]
    return figures


def change_by_sqlite3(url: str, values: Mapping[str, str | None]) -> None:
    """Make the writes of a bulk change by `sqlite3` with the ledger's pragmas."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN IMMEDIATE")
    for statement in (_UPDATE, _EVENTS):
        connection.execute(statement, values)
    connection.execute("COMMIT")
    connection.close()


def change_by_psycopg(url: str, values: Mapping[str, str | None]) -> None:
    """Make the writes of a bulk change by `psycopg`."""
    import psycopg  # noqa: PLC0415 - an extra: tests on SQLite do without

    with psycopg.connect(url) as connection:
        for statement in (_UPDATE, _EVENTS):
            connection.execute(re.sub(r":(\w+)", _parameter, statement).encode(), values)


def _parameter(name: re.Match[str]) -> str:
    # One parameter stands in columns of different types: Postgres has to be told its own.
    return f"%({name[1]})s::{'timestamptz' if name[1] in {'now', 'ended'} else 'text'}"


def claims(name: str, url: str) -> list[Figure]:
    """Have sixteen processes try to claim all of ten thousand attempts."""
    fill(url, MANY)
    ledger = Ledger(url)
    ids = [attempt.id for attempt in dispatch(ledger, concurrent=MANY, per_repository=MANY, deadline_s=3600)]
    ledger.close()
    began = time.perf_counter()
    calls = [(url, f"run-{number}", ids) for number in range(CLAIMERS)]
    got = ledger_load.together(ledger_load.claim_each, calls, wait_s=600)
    taken = time.perf_counter() - began
    counted = Counter(attempt_id for ids_of_one in got for attempt_id in ids_of_one)
    wrong = sum(counted[attempt_id] != 1 for attempt_id in ids) + len(set(counted) - set(ids))
    title = f"{name}: {CLAIMERS} processes claim {MANY} tasks"
    return [Figure(f"{title}, not exactly once", wrong, "", 0), Figure(title, taken, "s")]


def backup_while_writing(folder: Path) -> list[Figure]:
    """Back up ten thousand tasks while four processes write without pause."""
    path = sqlite_ledger_file(folder / "busy.sqlite")
    url = f"sqlite:///{path}"
    ids = fill(url, MANY)
    calls: list[tuple[object, tuple[object, ...]]] = [
        (ledger_load.change_without_pause, (url, ids[process::PROCESSES], SECONDS)) for process in range(PROCESSES)
    ]
    calls.append((ledger_load.back_up, (url, folder / "backup.sqlite")))
    *loads, taken = ledger_load.together(ledger_load.any_of, calls)
    rate = sum(load.changes for load in loads) / SECONDS
    return [
        Figure(f"SQLite: backup of {MANY} tasks while others write", taken, "s"),
        Figure("SQLite: transitions meanwhile", rate, "/s"),
    ]


def pages() -> list[Figure]:
    """Measure pages of lists, unless they are left out."""
    if os.environ.get("SQUIRE_BENCH_PAGES") == "0":
        return []
    from tests.support import ledger_pages  # noqa: PLC0415 - only where they are measured

    return ledger_pages.measure()


def main() -> int:
    """Measure and report."""
    server = PostgresServer.start()
    try:
        with tempfile.TemporaryDirectory(dir=os.environ.get("SQUIRE_BENCH_FOLDER")) as name:
            folder = Path(name)
            figures = sqlite_transitions(folder)
            url, raw_url = (f"sqlite:///{sqlite_ledger_file(folder / name)}" for name in ("bulk.sqlite", "raw.bulk"))
            figures += bulk_changes("SQLite", url, raw_url, change_by_sqlite3)
            figures += claims("SQLite", f"sqlite:///{sqlite_ledger_file(folder / 'claims.sqlite')}")
            figures += backup_while_writing(folder)
            figures += audit_cost("SQLite", f"sqlite:///{sqlite_ledger_file(folder / 'audit.sqlite')}")
            figures += postgres_transitions(server)
            figures += audit_cost("Postgres (no fsync)", server.empty_ledger())
            figures += bulk_changes("Postgres", server.empty_ledger(), server.empty_ledger(), change_by_psycopg)
            figures += claims("Postgres", server.empty_ledger())
    finally:
        server.stop()
    return report("ledger", figures + pages())


if __name__ == "__main__":
    sys.exit(main())
