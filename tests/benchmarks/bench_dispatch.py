"""A dispatcher and sixteen claimers on Postgres, each task exactly once: `make bench-dispatch`.

One process dispatches what may wait for its claim, in batches, as the sensor of the active steward does, and sixteen
claim it, as workers do. `SQUIRE_BENCH_TASKS` is how many tasks are ready at first.
"""

import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
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
BATCH = 1000
"""Attempts that may wait for their claim at once, `max_unclaimed`."""

AT_LEAST = 500.0


def fill(url: str) -> None:
    """Make the ready tasks, spread over the repositories."""
    ledger = Ledger(url)
    for number in range(REPOSITORIES):
        keys = (spec(f"k{number}-{task}") for task in range(TASKS // REPOSITORIES))
        add_tasks(ledger, *keys, repository=f"acme/r{number}")
    ledger.close()


@dataclass(frozen=True, slots=True)
class Share:
    """What one process did: the attempts, the seconds in transactions, and when it began and ended."""

    ids: list[str]
    seconds: float
    began: float
    ended: float


def dispatch_all(url: str, queue: Any, barrier: Any) -> Share:
    """Dispatch what may wait for its claim until nothing is ready."""
    ledger = Ledger(url)
    started: list[str] = []
    dispatching = 0.0
    barrier.wait(60)
    start = time.monotonic()  # the same clock in all processes
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
    return Share(started, dispatching, start, time.monotonic())


def claim_all(url: str, name: str, queue: Any, barrier: Any) -> Share:
    """Claim what comes through the queue."""
    ledger = Ledger(url)
    claimed: list[str] = []
    claiming = 0.0
    barrier.wait(60)
    start = time.monotonic()
    while (attempt_id := queue.get(timeout=300)) is not None:
        began = time.perf_counter()
        with ledger.write() as tx:
            attempts.claim(tx, attempt_id, run_id=f"{name}-{attempt_id}", lease_s=60)
        claiming += time.perf_counter() - began
        claimed.append(attempt_id)
    ledger.close()
    return Share(claimed, claiming, start, time.monotonic())


def work(role: str, url: str, queue: Any, barrier: Any) -> Share:
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
        shares = ledger_load.together(work, [(role, url, queue) for role in roles], wait_s=900)
    finally:
        server.stop()
    dispatcher, *claimers = shares
    took = max(share.ended for share in shares) - min(share.began for share in shares)
    claimed = Counter(attempt for share in claimers for attempt in share.ids)
    wrong = sum(count != 1 for count in claimed.values()) + len(set(dispatcher.ids) ^ set(claimed))
    wrong += abs(TASKS - len(dispatcher.ids))
    claiming = sum(share.seconds for share in claimers)
    name = f"Postgres, one dispatcher and {CLAIMERS} claimers"
    return report(
        "dispatch",
        [
            Figure(f"{name}: tasks dispatched and claimed", TASKS / took, "/s", AT_LEAST, at_least=True),
            Figure(f"{name}: not started and claimed exactly once", wrong, "", 0),
            Figure("in dispatches, a task", dispatcher.seconds / TASKS * 1000, "ms"),
            Figure("in claims, a task, of all claimers together", claiming / TASKS * 1000, "ms"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
