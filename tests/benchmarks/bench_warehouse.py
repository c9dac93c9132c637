"""The warehouse with a million attempts: `make bench-warehouse`.

The ledger (5 GB of SQLite) is made once, by SQL, and published once from nothing, which takes six minutes; both are
kept in `build/bench/warehouse`. What is measured: each view, through the connection that people's queries get, by
turns with raw DuckDB that opens the file and sums up one table; the publication of 10,000 new rows that came about
through the ledger's own functions, by turns with raw DuckDB that adds as many to a copy of the file; readers in
processes of their own while another process publishes without pause; and a reader that stays for all of that.
`SQUIRE_BENCH_ATTEMPTS` makes it smaller.
"""

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import time
from datetime import timedelta
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import duckdb
from sqlalchemy import text

from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.domain.plans import ApprovalRule
from squire_pipelines.domain.tasks import Plan, Risk, TaskSpec
from squire_pipelines.domain.timings import Timings
from squire_pipelines.files import put_in_place
from squire_pipelines.ledger import HEAD_REVISION, attempts, plans, task_dispatch
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.warehouse import schema
from squire_pipelines.warehouse.publish import publish_warehouse
from squire_pipelines.warehouse.query import run_query
from tests.support import big_ledger
from tests.support.figures import ROOT, Figure, by_turns, percentile, ratio, report, seconds
from tests.support.ledgers import admission

ATTEMPTS = int(os.environ.get("SQUIRE_BENCH_ATTEMPTS", "1000000"))
NEW_ROWS = 10_000
PUBLICATIONS = 3
VIEW_TURNS = 7
VIEW_RATIO, PUBLICATION_RATIO = 4, 15
OPENS = 1000
READERS = 2
MEMORY = 512 * 2**20
KEPT = ROOT / "build" / "bench" / "warehouse"
TRACE = "0" * 32

_READER = """
import sys, time, duckdb
path, opens = sys.argv[1], int(sys.argv[2])
errors = 0
for _ in range(opens):
    began = time.perf_counter()
    try:
        with duckdb.connect(path, read_only=True) as connection:
            connection.execute("SELECT count(*) FROM tasks").fetchall()
    except duckdb.Error as error:
        errors += 1
        print("error", str(error).splitlines()[0], file=sys.stderr)
    print(time.perf_counter() - began, flush=True)
    time.sleep(0.05)
print("errors", errors)
"""

_PUBLISHER = """
import sys
from pathlib import Path
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger import HEAD_REVISION
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.warehouse.publish import publish_warehouse
ledger = Ledger("sqlite:///" + sys.argv[1])
while True:
    with ledger.write() as tx:
        record_audit(tx, actor="bench", action="look", subject="x", detail={}, trace_id=TRACE)
    publication = publish_warehouse(ledger, Path(sys.argv[2]))
    print(publication.mode, publication.seconds, flush=True)
"""


def kept_history() -> tuple[Path, Path]:
    """Return the ledger and the warehouse; made when they are not there, or are of another schema or script."""
    script = Path(big_ledger.__file__).with_suffix(".sql").read_text(encoding="utf-8")
    inputs = [HEAD_REVISION, schema.tables_digest(), str(ATTEMPTS), script]
    key = hashlib.sha256("".join(inputs).encode()).hexdigest()[:12]
    folder = KEPT / key
    if not (folder / "whole").exists():
        shutil.rmtree(KEPT, ignore_errors=True)
        folder.mkdir(parents=True)
        began = time.monotonic()
        big_ledger.make(folder / "ledger.sqlite", attempts=ATTEMPTS, last=int(time.time()) - 86400)
        progress(f"ledger made in {time.monotonic() - began:.0f} s")
        ledger = Ledger(f"sqlite:///{folder / 'ledger.sqlite'}")
        publication = publish_warehouse(ledger, folder / "warehouse.duckdb", WarehouseSettings(memory_limit=MEMORY))
        ledger.close()
        (folder / "whole").write_text(f"{publication.seconds}")
        rows = sum(publication.rows.values())
        progress(f"published from nothing in {publication.seconds:.0f} s: {rows} rows, {publication.bytes} bytes")
    return folder / "ledger.sqlite", folder / "warehouse.duckdb"


def progress(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)


def make_new_rows(ledger: Ledger) -> int:
    """Make at least `NEW_ROWS` new rows by the ledger's own functions; return how many."""
    before = count_rows(ledger)
    rule = attempts.RetryRule(base_s=30, cap_s=900)
    approval = ApprovalRule(automatic=True, min_confidence=0, max_risk=Risk.HIGH)
    while count_rows(ledger) - before < NEW_ROWS:
        stamp = time.time_ns()
        specs = tuple(
            TaskSpec(key=f"k{n}", title=f"New {stamp} {n}", prompt=f"Do {stamp} {n}.", base_branch="main")
            for n in range(50)
        )
        with ledger.write() as tx:
            plan = Plan(
                repository=f"acme/repository-{stamp % 200:03}", planner="rules", signals_digest="0", tasks=specs
            )
            saved = plans.save(tx, plan, [], trace_id=TRACE, run_id=None)
            plans.admit(tx, saved.id, admission(approval, 3))
        with ledger.write() as tx:
            started = task_dispatch.dispatch(tx, max_concurrent=50, max_per_repository=50, claim_deadline_s=120)
        for queued in started:
            with ledger.write() as tx:
                attempt = attempts.claim(tx, queued.id, run_id="bench", lease_s=600)
            token = attempt.lease_token or ""
            with ledger.write() as tx:
                attempts.note(
                    tx,
                    attempt.id,
                    token,
                    AttemptFacts(agent_started_at=tx.now, timings=Timings(create_s=0.1, start_s=0.2)),
                )
                for _ in range(2):
                    record_model_call(
                        tx,
                        ModelCallRow(
                            purpose="agent",
                            model="openai/medium",
                            ok=True,
                            input_tokens=1000,
                            output_tokens=100,
                            latency_s=1.5,
                            trace_id=TRACE,
                            repository=attempt.repository,
                            task_id=attempt.task_id,
                            attempt_id=attempt.id,
                            cost_usd=0.01,
                        ),
                    )
                attempts.settle(
                    tx, attempt.id, token, Ending(cause=Cause.COMPLETED, message="done"), retry=rule, actor="bench"
                )
    return count_rows(ledger) - before


def count_rows(ledger: Ledger) -> int:
    """Return how many rows were ever written to the tables whose rows are numbered or new with each task."""
    with ledger.read() as tx:
        numbered = tx.execute(text("SELECT sum(seq) FROM sqlite_sequence")).scalar_one()
        since = tx.now - timedelta(hours=12)
        new = 0
        for table in ("tasks", "attempts"):
            query = text(f"SELECT count(*) FROM {table} WHERE updated_at >= :since")  # noqa: S608 - our own names
            new += tx.execute(query, {"since": f"{since:%Y-%m-%dT%H:%M:%S.%fZ}"}).scalar_one()
        return int(numbered or 0) + int(new)


def measure_views(path: Path) -> list[Figure]:
    """Measure each view as people query it, opened anew each time, by turns with raw DuckDB."""

    def raw() -> None:
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("SELECT repository, count(*), sum(cost_usd) FROM task_facts GROUP BY ALL").fetchall()

    measures = {view: partial(seconds, partial(run_query, path, f"FROM {view}")) for view in schema.METRICS}
    times = by_turns({"raw": partial(seconds, raw), **measures}, VIEW_TURNS)
    floor = times.pop("raw")
    slowest = max(times, key=lambda view: statistics.median(times[view]))
    return [
        *(Figure(f"view {view} / raw sum of a table", ratio(times[view], floor), "x", VIEW_RATIO) for view in times),
        Figure("raw sum of a table, median", 1000 * statistics.median(floor), "ms"),
        Figure(f"slowest view, {slowest}, median", 1000 * statistics.median(times[slowest]), "ms"),
    ]


def add_rows_raw(path: Path, count: int) -> None:
    """Copy the file and add rows to it, as publication does at the least: insert, checkpoint, sync, rename."""
    copy = path.with_name("raw.duckdb")
    copy.unlink(missing_ok=True)
    shutil.copyfile(path, copy)
    with duckdb.connect(str(copy)) as connection:
        columns = [list(range(count)), [f"subject {number}" for number in range(count)]]
        connection.execute("CREATE TABLE added (id BIGINT, subject VARCHAR)")
        connection.execute("INSERT INTO added SELECT unnest(?::BIGINT[]), unnest(?::VARCHAR[])", columns)
        connection.execute("CHECKPOINT")
    put_in_place(copy, path.with_name("raw-published.duckdb"))


def measure_publications(ledger: Ledger, path: Path) -> list[Figure]:
    """Measure the publication of new rows, by turns with raw DuckDB."""
    settings = WarehouseSettings(memory_limit=MEMORY)
    publish_warehouse(ledger, path, settings)  # what an earlier run of this left
    taken, floor = [], []
    for _ in range(PUBLICATIONS):
        progress("making new rows")
        count = make_new_rows(ledger)
        floor.append(seconds(lambda: add_rows_raw(path, NEW_ROWS)))
        publication = publish_warehouse(ledger, path, settings)
        if publication.mode != "incremental":
            sys.exit(f"everything was published: {publication.reason}")
        taken.append(publication.seconds)
    return [
        Figure(f"publication of {NEW_ROWS} new rows / raw", ratio(taken, floor), "x", PUBLICATION_RATIO),
        Figure("publication, median", statistics.median(taken), "s"),
        Figure("raw copy, insert, checkpoint and sync, median", statistics.median(floor), "s"),
        Figure("new rows in the ledger", count, ""),
        Figure("rows that the last publication wrote", sum(publication.changed.values()), ""),
        Figure("the file", publication.bytes / 2**20, "MiB"),
    ]


def measure_readers(ledger: Path, path: Path) -> list[Figure]:
    """Measure readers that open the file again and again, and one that stays, while it is published without pause."""
    with duckdb.connect(str(path), read_only=True) as stays:
        first = stays.execute("SELECT published_at, (SELECT count(*) FROM audit) FROM _publication").fetchall()
        publisher = subprocess.Popen(
            [sys.executable, "-c", _PUBLISHER, str(ledger), str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        try:
            command = [sys.executable, "-c", _READER, str(path), str(OPENS // READERS)]
            readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(READERS)]
            outputs = [reader.communicate(timeout=600)[0].splitlines() for reader in readers]
        finally:
            publisher.terminate()
            published = publisher.communicate(timeout=60)[0].splitlines()
        last = stays.execute("SELECT published_at, (SELECT count(*) FROM audit) FROM _publication").fetchall()
    errors = sum(int(lines[-1].split()[1]) for lines in outputs)
    opened = [float(line) for lines in outputs for line in lines[:-1]]
    publications = [float(line.split()[1]) for line in published]
    now = run_query(path, "SELECT count(*) FROM audit").rows[0][0]
    return [
        Figure(f"readers' errors in {len(opened)} opens", errors, "", 0),
        Figure("open, count, close beside it, p95", 1000 * percentile(opened, 0.95), "ms"),
        Figure("publications meanwhile", len(publications), "", 3, at_least=True),
        Figure("publications meanwhile, median", statistics.median(publications), "s"),
        Figure("states that a reader who stayed saw, less one", float(first != last), "", 0),
        Figure("rows that came meanwhile and it did not see", now - first[0][1], ""),
    ]


def main() -> int:
    """Measure and report."""
    file, warehouse = kept_history()
    figures = measure_views(warehouse)
    ledger = Ledger(f"sqlite:///{file}")
    figures += measure_publications(ledger, warehouse)
    ledger.close()
    figures.append(Figure("publication from nothing", float((file.parent / "whole").read_text()), "s"))
    progress("readers beside publications")
    figures += measure_readers(file, warehouse)
    return report("warehouse", figures)


if __name__ == "__main__":
    sys.exit(main())
