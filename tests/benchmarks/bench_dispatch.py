"""A dispatcher and sixteen claimers on Postgres, each task exactly once: `make bench-dispatch`.

One process dispatches what may wait for its claim, in batches, as the sensor of the active steward does, and sixteen
claim it, as workers do. `SQUIRE_BENCH_TASKS` is how many tasks are ready at first.
"""

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from squire_pipelines.ledger import attempts, task_dispatch
from squire_pipelines.ledger.store import Ledger
from tests.support import ledger_load
from tests.support.figures import Figure, report
from tests.support.ledgers import PostgresServer, add_tasks, spec

DISPATCHER = "dispatcher"
CLAIMERS = 16
TASKS = int(os.environ.get("SQUIRE_BENCH_TASKS", "5000"))
REPOSITORIES = 100
BATCH = 200
"""Attempts that may wait for their claim at once, `max_unclaimed`."""

AT_LEAST = 500.0


def fill(url: str) -> None:
    """Make the ready tasks, spread over the repositories."""
    ledger = Ledger(url)
    for number in range(REPOSITORIES):
        keys = (spec(f"k{number}-{task}") for task in range(TASKS // REPOSITORIES))
        add_tasks(ledger, *keys, repository=f"acme/r{number}")
    ledger.close()


def dispatch_all(url: str, queue: Any, barrier: Any) -> tuple[list[str], float]:
    """Dispatch what may wait for its claim until nothing is ready; return what was started, and the seconds."""
    ledger = Ledger(url)
    started: list[str] = []
    dispatching = 0.0
    barrier.wait(60)
    while len(started) < TASKS:
        began = time.perf_counter()
        with ledger.write() as tx:
            batch = task_dispatch.dispatch(
                tx, max_concurrent=TASKS, max_per_repository=TASKS, claim_deadline_s=600, max_unclaimed=BATCH
            )
        dispatching += time.perf_counter() - began
        for attempt in batch:
            queue.put(attempt.id)
            started.append(attempt.id)
        if not batch:
            time.sleep(0.002)
    for _ in range(CLAIMERS):
        queue.put(None)
    ledger.close()
    return started, dispatching


def claim_all(url: str, name: str, queue: Any, barrier: Any) -> tuple[list[str], float]:
    """Claim what comes through the queue; return what was claimed, and the seconds."""
    ledger = Ledger(url)
    claimed: list[str] = []
    claiming = 0.0
    barrier.wait(60)
    while (attempt_id := queue.get(timeout=300)) is not None:
        began = time.perf_counter()
        with ledger.write() as tx:
            attempts.claim(tx, attempt_id, run_id=f"{name}-{attempt_id}", lease_s=60)
        claiming += time.perf_counter() - began
        claimed.append(attempt_id)
    ledger.close()
    return claimed, claiming


def work(role: str, url: str, queue: Any, barrier: Any) -> tuple[list[str], float]:
    """Be the dispatcher or one of the claimers."""
    return dispatch_all(url, queue, barrier) if role == DISPATCHER else claim_all(url, role, queue, barrier)


def main() -> int:
    """Measure and report."""
    server = PostgresServer.start(shared_buffers="256MB")
    try:
        url = server.empty_ledger()
        fill(url)
        queue = ledger_load.processes.Queue()
        roles = [DISPATCHER, *(f"run-{number}" for number in range(CLAIMERS))]
        began = time.perf_counter()
        answers = ledger_load.together(work, [(role, url, queue) for role in roles], wait_s=900)
        took = time.perf_counter() - began
    finally:
        server.stop()
    (started, dispatching), *claims = answers
    claimed = Counter(attempt for ids, _ in claims for attempt in ids)
    wrong = sum(count != 1 for count in claimed.values()) + len(set(started) ^ set(claimed)) + abs(TASKS - len(started))
    name = f"Postgres, one dispatcher and {CLAIMERS} claimers"
    return report(
        "dispatch",
        [
            Figure(f"{name}: tasks dispatched and claimed", TASKS / took, "/s", AT_LEAST, at_least=True),
            Figure(f"{name}: not started and claimed exactly once", wrong, "", 0),
            Figure("in dispatches, a task", dispatching / TASKS * 1000, "ms"),
            Figure("in claims, a task, of all claimers together", sum(one[1] for one in claims) / TASKS * 1000, "ms"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
