"""What metrics cost: `make bench-metrics`: each reading of a large ledger, a scrape meanwhile, an increment.

`SQUIRE_BENCH_TASKS` is how many tasks the ledger has (a million attempts, two minutes to make), and
`SQUIRE_BENCH_LEDGER` names one that was kept.
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from squire_pipelines.endpoint import ledger_gauges
from squire_pipelines.endpoint.gauges import ReadValues
from squire_pipelines.endpoint.ledger_counters import KnownNames, LedgerCounters
from squire_pipelines.endpoint.routes import create_app
from squire_pipelines.endpoint.snapshot import MetricsReading, Snapshot
from squire_pipelines.http_server import AnnouncingServer, listen
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.metrics import counting, families
from squire_pipelines.metrics.folding import read_all
from squire_pipelines.observability.logging import Component
from squire_pipelines.settings.model import Settings
from tests.support import big_ledger
from tests.support.figures import Figure, percentile, report

TASKS = int(os.environ.get("SQUIRE_BENCH_TASKS", "1000000"))
REPOSITORIES = tuple(f"acme/repository-{number:03}" for number in range(30))
SCRAPES = 200
INCREMENTS = 200_000
PROCESSES = 60
_PATIENCE_S = 30


def make_ledger(folder: Path) -> Ledger:
    """Return a ledger with so many tasks."""
    kept = os.environ.get("SQUIRE_BENCH_LEDGER")
    path = Path(kept) if kept else folder / "ledger.sqlite"
    if not path.exists():
        big_ledger.make(path, attempts=TASKS * 6 // 5, last=int(datetime.now(UTC).timestamp()))
    return Ledger(f"sqlite:///{path}")


def readings_of(ledger: Ledger, folder: Path) -> dict[str, MetricsReading]:
    """Return the readings of the ledger as the endpoint makes them."""
    settings = Settings(repositories=REPOSITORIES)
    names = KnownNames(repositories=frozenset(REPOSITORIES), models=frozenset({"openai/medium"}))
    counters = LedgerCounters(folder / "ledger.json", names=lambda: names)
    reads = {
        "queue": ledger_gauges.read_queue,
        "attempts": ledger_gauges.read_attempts,
        "deliveries": ledger_gauges.read_inbox,
        "budgets": ledger_gauges.read_budgets,
        "tasks": ledger_gauges.read_tasks,
        "github": ledger_gauges.QuotaForecast().read,
    }

    def reading(name: str) -> MetricsReading:
        def read() -> ReadValues:
            with ledger.read() as tx:
                return ReadValues(reads[name](tx, settings))

        return MetricsReading(name, read)

    readings = {name: reading(name) for name in reads}
    readings["changes"] = MetricsReading("changes", lambda: ReadValues(counters=counters.read(ledger)))
    readings["processes"] = MetricsReading("processes", lambda: ReadValues(counters=read_all(folder).values))
    return readings


def measure_readings(readings: dict[str, MetricsReading]) -> list[Figure]:
    """Measure each reading, the second time: the first one opens files."""
    figures = []
    for name, reading in readings.items():
        times = []
        for _ in range(3):
            began = time.perf_counter()
            reading.read()
            times.append(time.perf_counter() - began)
        figures.append(Figure(f"reading {name}", statistics.median(times) * 1000, "ms"))
    return figures


def measure_scrapes(readings: dict[str, MetricsReading]) -> list[Figure]:
    """Measure scrapes over HTTP while readings go on as by the settings' default."""
    snapshot = Snapshot(tuple(readings.values()), interval_s=lambda: 10)
    snapshot.refresh()
    ready = threading.Event()
    with listen("127.0.0.1", 0, section="observability") as listener, snapshot:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/metrics"
        server = AnnouncingServer(
            create_app(metrics=snapshot.text),
            listener,
            announce=lambda _url: ready.set(),
            component=Component.ENDPOINT,
        )
        thread = threading.Thread(target=server.serve_until_stopped)
        thread.start()
        ready.wait(_PATIENCE_S)
        times = []
        with httpx.Client(timeout=_PATIENCE_S) as client:
            for _ in range(SCRAPES):
                began = time.perf_counter()
                size = len(client.get(url).content)
                times.append(time.perf_counter() - began)
        server.should_exit = True
        thread.join(_PATIENCE_S)
    return [
        Figure("scrape: size", size / 1024, "KiB"),
        Figure("scrape, median", statistics.median(times) * 1000, "ms"),
        Figure("scrape, p95", percentile(times, 0.95) * 1000, "ms", 100),
    ]


def processor_s(action: Callable[[], object]) -> float:
    """Return the processor's seconds that one of many calls takes, whatever else the machine does."""
    began = time.process_time()
    for _ in range(INCREMENTS):
        action()
    return (time.process_time() - began) / INCREMENTS


def measure_increments(folder: Path) -> list[Figure]:
    """Measure an increment, one that is not counted, and adding up the files of processes that have ended."""
    off = processor_s(lambda: counting.count(families.GITHUB_REQUESTS, "core", "200"))
    counting.start_counting(folder)
    count = processor_s(lambda: counting.count(families.GITHUB_REQUESTS, "core", "200"))
    observe = processor_s(lambda: counting.observe(families.GITHUB_DURATION, 0.3, "core"))
    starts = []
    for _ in range(PROCESSES):
        counting.stop_counting()
        began = time.perf_counter()
        counting.start_counting(folder)
        counting.count(families.GITHUB_REQUESTS, "core", "200")
        starts.append(time.perf_counter() - began)
    counting.stop_counting()
    began = time.perf_counter()
    total = read_all(folder).values
    folded = time.perf_counter() - began
    if sum(value for name, value in total.items() if families.GITHUB_REQUESTS.name in name) != INCREMENTS + PROCESSES:
        raise RuntimeError("counts were lost or doubled")
    return [
        Figure("a count where nothing is counted", off * 1e6, "us"),
        Figure("a count", count * 1e6, "us", 10),
        Figure("a value of a histogram", observe * 1e6, "us", 20),
        Figure("the first count of a process", statistics.median(starts) * 1000, "ms"),
        Figure(f"adding up {PROCESSES} ended processes", folded * 1000, "ms"),
    ]


def main() -> int:
    """Measure all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ledger = make_ledger(folder)
        figures = measure_increments(folder / "counts")
        readings = readings_of(ledger, folder / "metrics")
        figures += measure_readings(readings)
        figures += measure_scrapes(readings)
        ledger.close()
    return report("metrics", figures)


if __name__ == "__main__":
    sys.exit(main())
