"""The ledger under load: transitions, waits, bulk changes, claims, pages of lists: `make bench-ledger`.

Raw `sqlite3` doing the same two writes to the same tables runs in turn with ours, so that the share of one in the
other means something. `SQUIRE_BENCH_SECONDS` is how long each of the rounds takes, `SQUIRE_BENCH_PAGES=0` leaves the
pages out, whose tables of a million tasks take minutes to fill.
"""

import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from squire_pipelines.ledger import bulk
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.task_query import TaskQuery
from tests.support import ledger_load
from tests.support.figures import Figure, percentile, report
from tests.support.ledgers import PostgresServer, add_tasks, dispatch, spec, sqlite_ledger_file

SECONDS = float(os.environ.get("SQUIRE_BENCH_SECONDS", "3"))
ROUNDS = 5
PROCESSES = 4
CLAIMERS = 16
MANY = 10_000


def fill(url: str, count: int) -> tuple[str, ...]:
    """Tasks that are ready."""
    ledger = Ledger(url)
    ids: list[str] = []
    for start in range(0, count, 1000):
        ids += add_tasks(ledger, *(spec(f"k{number}") for number in range(start, min(count, start + 1000))))
    ledger.close()
    return tuple(ids)


def sqlite_transitions(folder: Path) -> list[Figure]:
    """Ours and raw in turn, each on a ledger of its own that stays the same through the rounds."""
    ours, raw = folder / "ours.sqlite", folder / "raw.sqlite"
    rates: dict[Path, list[float]] = {ours: [], raw: []}
    waits: dict[Path, list[float]] = {ours: [], raw: []}
    ids = {path: fill(f"sqlite:///{sqlite_ledger_file(path)}", 400) for path in (ours, raw)}
    for number in range(ROUNDS):
        for path in (ours, raw) if number % 2 else (raw, ours):
            work = ledger_load.change_without_pause if path is ours else ledger_load.change_raw
            place = f"sqlite:///{path}" if path is ours else str(path)
            # A task is somewhere between two states after a round, so that each round has tasks of its own.
            mine = ids[path][number * 80 : (number + 1) * 80]
            calls = [(place, mine[each::PROCESSES], SECONDS) for each in range(PROCESSES)]
            loads = ledger_load.together(work, calls)
            rates[path].append(sum(load.changes for load in loads) / SECONDS)
            waits[path] += [wait for load in loads for wait in load.waits_s]
    mine_rate, raw_rate = statistics.median(rates[ours]), statistics.median(rates[raw])
    shares = [one / other for one, other in zip(rates[ours], rates[raw], strict=True)]
    name = f"SQLite, {PROCESSES} processes"
    return [
        Figure(f"{name}: transitions", mine_rate, "/s", 1000, at_least=True),
        Figure(f"{name}: raw sqlite3, the same writes", raw_rate, "/s"),
        Figure(f"{name}: share of raw", statistics.median(shares), "x", 0.2, at_least=True),
        Figure(f"{name}: wait for a turn, p99", percentile(waits[ours], 0.99), "s", 1),
        Figure(f"{name}: wait for a turn, longest", max(waits[ours]), "s"),
        Figure(f"{name}: raw sqlite3, longest wait", max(waits[raw]), "s"),
    ]


def postgres_transitions(server: PostgresServer) -> list[Figure]:
    """The same on Postgres, for comparison: nobody waits for a turn there, but for a row."""
    url = server.empty_ledger()
    ids = fill(url, 400)
    calls = [(url, ids[each::PROCESSES], SECONDS) for each in range(PROCESSES)]
    loads = ledger_load.together(ledger_load.change_without_pause, calls)
    rate = sum(load.changes for load in loads) / SECONDS
    return [Figure(f"Postgres, {PROCESSES} processes: transitions (no fsync)", rate, "/s")]


def bulk_changes(name: str, url: str) -> list[Figure]:
    """Ten thousand tasks cancelled, and retried, in one transaction each."""
    fill(url, MANY)
    ledger = Ledger(url)
    figures = []
    for change, words in ((bulk.cancel("bench"), "cancel"), (bulk.retry(1), "retry")):
        began = time.perf_counter()
        with ledger.write() as tx:
            done = bulk.bulk_update(tx, TaskQuery(statuses=tuple(sorted(change.expected))), change, actor="bench")
        taken = time.perf_counter() - began
        if done.count != MANY:
            raise RuntimeError(f"{done.count} tasks were changed, not {MANY}")
        figures.append(Figure(f"{name}: bulk {words} of {MANY} tasks", taken, "s", 1))
    ledger.close()
    return figures


def claims(name: str, url: str) -> list[Figure]:
    """Sixteen processes that all want all of ten thousand attempts."""
    fill(url, MANY)
    ledger = Ledger(url)
    ids = [attempt.id for attempt in dispatch(ledger, concurrent=MANY, each=MANY, deadline_s=3600)]
    ledger.close()
    began = time.perf_counter()
    calls = [(url, f"run-{number}", ids) for number in range(CLAIMERS)]
    got = ledger_load.together(ledger_load.claim_each, calls, wait_s=600)
    taken = time.perf_counter() - began
    counted = Counter(attempt_id for mine in got for attempt_id in mine)
    wrong = sum(counted[attempt_id] != 1 for attempt_id in ids) + len(set(counted) - set(ids))
    title = f"{name}: {CLAIMERS} processes claim {MANY} tasks"
    return [Figure(f"{title}, not exactly once", wrong, "", 0), Figure(title, taken, "s")]


def backup_while_writing(folder: Path) -> list[Figure]:
    """A backup of ten thousand tasks while four processes write without pause."""
    path = sqlite_ledger_file(folder / "busy.sqlite")
    url = f"sqlite:///{path}"
    ids = fill(url, MANY)
    calls: list[tuple[object, tuple[object, ...]]] = [
        (ledger_load.change_without_pause, (url, ids[each::PROCESSES], SECONDS)) for each in range(PROCESSES)
    ]
    calls.append((ledger_load.back_up, (url, folder / "backup.sqlite")))
    *loads, taken = ledger_load.together(ledger_load.any_of, calls)
    rate = sum(load.changes for load in loads) / SECONDS
    return [
        Figure(f"SQLite: backup of {MANY} tasks while others write", taken, "s"),
        Figure("SQLite: transitions meanwhile", rate, "/s"),
    ]


def pages() -> list[Figure]:
    """Pages of lists, if they are wanted."""
    if os.environ.get("SQUIRE_BENCH_PAGES") == "0":
        return []
    from tests.support import ledger_pages  # noqa: PLC0415 - only when wanted

    return ledger_pages.measure()


def main() -> int:
    """Measures and reports."""
    server = PostgresServer.start()
    try:
        with tempfile.TemporaryDirectory(dir=os.environ.get("SQUIRE_BENCH_FOLDER")) as name:
            folder = Path(name)
            figures = sqlite_transitions(folder)
            figures += bulk_changes("SQLite", f"sqlite:///{sqlite_ledger_file(folder / 'bulk.sqlite')}")
            figures += claims("SQLite", f"sqlite:///{sqlite_ledger_file(folder / 'claims.sqlite')}")
            figures += backup_while_writing(folder)
            figures += postgres_transitions(server)
            figures += bulk_changes("Postgres", server.empty_ledger())
            figures += claims("Postgres", server.empty_ledger())
    finally:
        server.stop()
    return report("ledger", figures + pages())


if __name__ == "__main__":
    sys.exit(main())
