"""Three workers against one: how many more tasks they end in the same time, `make bench-workers`.

A steward, a forge, Postgres and Redis on this machine; each worker has a home of its own and one slot, so that agents
which wait are the bound, and not the machine's processors: their use is among the figures. `SQUIRE_BENCH_TASKS` is how
many tasks there are (200), `SQUIRE_BENCH_AGENT_S` for how long each agent waits (1).
"""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sqlalchemy import text

from squire_forge.process import ForgeProcess
from squire_forge.samples import build_samples
from squire_pipelines.ledger.store import Ledger, open_ledger
from tests.support.brokers import RedisServer
from tests.support.figures import Figure, report
from tests.support.ledgers import PostgresServer, add_task
from tests.support.pipeline import HANDBOOK, LEDGERLIB
from tests.support.worker_machines import Machines

TASKS = int(os.environ.get("SQUIRE_BENCH_TASKS", "200"))
AGENT_S = float(os.environ.get("SQUIRE_BENCH_AGENT_S", "1"))
SLOTS, MANY = 1, 3
LEAST_RATIO = 2.2
WITHIN_S = 60.0
OPEN = "SELECT count(*) FROM tasks WHERE title LIKE 'Measured %' AND status NOT IN ('succeeded', 'failed', 'cancelled')"
ENDED = (
    "SELECT attempts.task_id, attempts.worker, attempts.claimed_at, attempts.ended_at, attempts.cause FROM attempts "
    "JOIN tasks ON tasks.id = attempts.task_id WHERE tasks.title LIKE 'Measured %'"
)
STATUSES = "SELECT status FROM tasks WHERE title LIKE 'Measured %'"


@dataclass(frozen=True, slots=True)
class Measured:
    """What so many workers did.

    Args:
        per_minute: Tasks, from the first claim to the last end.
        processors: Their use meanwhile, of 1.
        wrong: Tasks that did not succeed, or not exactly once.
        over_slots: The most attempts of one worker at once, beyond its slots.
    """

    per_minute: float
    processors: float
    wrong: int
    over_slots: int


def busy_and_all() -> tuple[int, int]:
    """Return how long this machine's processors have worked and have been there, in ticks."""
    user, nice, system, idle, waiting, *others = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    busy = user + nice + system + sum(others)
    return busy, busy + idle + waiting


def ask(ledger: Ledger, sql: str) -> list[tuple[object, ...]]:
    """Return the rows of a query."""
    with ledger.read() as tx:
        return [tuple(row) for row in tx.execute(text(sql))]


def most_at_once(spans: Sequence[tuple[datetime, datetime]]) -> int:
    """Return how many of the times overlap at most; one that ends when another begins does not."""
    moments = sorted((moment, change) for span in spans for moment, change in zip(span, (1, -1), strict=True))
    return max(accumulate(change for _, change in moments), default=0)


@contextmanager
def running(folder: Path, postgres: PostgresServer, redis: RedisServer, workers: int) -> Iterator[Ledger]:
    """Have a forge, a steward and so many workers run; yield their ledger."""
    url = postgres.new_database()
    ledger = open_ledger(url)
    with ForgeProcess.start(folder / "forge", rate_limit=1_000_000, merge_prefix=None) as forge:
        for sample in build_samples(folder / "samples"):
            forge.host_repository(sample)
        command = ("sh", "-c", f"sleep {AGENT_S:g}; date +%s%N > answer.txt")
        repositories = (LEDGERLIB, HANDBOOK)
        machines = Machines(folder / "machines", url, redis, forge.api_url, forge.token, repositories, command)
        machines.folder.mkdir()
        try:
            machines.start("steward")
            for number in range(workers):
                machines.start(f"w{number}", "--slots", str(SLOTS))
            yield ledger
        except TimeoutError:
            print(machines.tail(), file=sys.stderr)
            raise
        finally:
            machines.stop()
            ledger.close()


def measure(postgres: PostgresServer, redis: RedisServer, workers: int) -> Measured:
    """Have so many workers do the tasks, and look at what became of them."""
    with (
        tempfile.TemporaryDirectory(prefix="sq-", ignore_cleanup_errors=True) as folder,
        running(Path(folder), postgres, redis, workers) as ledger,
    ):
        wait_until(lambda: len(ask(ledger, "SELECT name FROM workers")) >= workers, WITHIN_S)
        for number in range(TASKS):
            add_task(ledger, repository=(LEDGERLIB, HANDBOOK)[number % 2], title=f"Measured {number}", max_attempts=3)
        wait_until(lambda: bool(ask(ledger, ENDED)), WITHIN_S)
        before = busy_and_all()
        wait_until(lambda: ask(ledger, OPEN) == [(0,)], WITHIN_S + TASKS * (AGENT_S + 20))
        busy, everything = (late - early for late, early in zip(busy_and_all(), before, strict=True))
        rows = ask(ledger, ENDED)
        succeeded = Counter(str(status) for (status,) in ask(ledger, STATUSES))["succeeded"]
    completed = Counter(task_id for task_id, _, _, _, cause in rows if cause == "completed")
    spans: dict[object, list[tuple[datetime, datetime]]] = {}
    for _, worker, began, ended, _ in rows:
        if isinstance(began, datetime) and isinstance(ended, datetime):
            spans.setdefault(worker, []).append((began, ended))
    taken_s = (
        max(end for times in spans.values() for _, end in times) - min(min(times)[0] for times in spans.values())
    ).total_seconds()
    return Measured(
        per_minute=60 * TASKS / taken_s,
        processors=busy / everything,
        wrong=TASKS - succeeded + sum(count != 1 for count in completed.values()) + TASKS - len(completed),
        over_slots=max(most_at_once(times) - SLOTS for times in spans.values()),
    )


def wait_until(happened: Callable[[], bool], within_s: float) -> None:
    """Wait until something has happened. Raises TimeoutError."""
    until = time.monotonic() + within_s
    while not happened():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.25)


def main() -> int:
    """Measure and report."""
    postgres, redis = PostgresServer.start(), RedisServer.start()
    if redis is None:
        sys.exit("redis-server is not installed")
    try:
        one, many = (measure(postgres, redis, workers) for workers in (1, MANY))
    finally:
        redis.kill()
        postgres.stop()
    return report(
        "workers",
        [
            Figure("tasks of one worker", one.per_minute, "/min"),
            Figure("tasks of three workers", many.per_minute, "/min"),
            Figure("three workers against one", many.per_minute / one.per_minute, "x", LEAST_RATIO, at_least=True),
            Figure("tasks lost, failed or done twice", one.wrong + many.wrong, "", 0),
            Figure("attempts of one worker beyond its slots", max(one.over_slots, many.over_slots), "", 0),
            Figure("use of the processors, one worker", one.processors, ""),
            Figure("use of the processors, three workers", many.processors, ""),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
