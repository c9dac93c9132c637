"""Broker, workers and steward are killed and paused while tasks run on several machines: none is lost or done twice.

`SQUIRE_SOAK_MOMENTS` sets how often (6), `SQUIRE_SOAK_SEED` which comes when. In `make test` the rules behind it are
shown by `tests/integration/work_queue`, `tests/integration/sensors/test_workers_queue.py` and the lease's tests.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from squire_forge.process import ForgeProcess
from squire_pipelines.ledger.integrity import history_problems
from squire_pipelines.ledger.store import Ledger, open_ledger
from tests.support.brokers import RedisServer
from tests.support.leak_search import processes_with
from tests.support.ledgers import PostgresServer, add_task, rows_as_stored, rows_as_told_by_events
from tests.support.pipeline import HANDBOOK, LEDGERLIB
from tests.support.worker_machines import LOST_AFTER_S, Machines

MOMENTS = int(os.environ.get("SQUIRE_SOAK_MOMENTS", "6"))
SEED = int(os.environ.get("SQUIRE_SOAK_SEED", "1"))
TASKS = 2 * MOMENTS
PATIENCE_S = 400.0
WORKERS = ("w1", "w2")
OPEN = "SELECT count(*) FROM tasks WHERE status NOT IN ('succeeded', 'failed', 'cancelled') AND title LIKE 'Answer %'"
UNDER_WAY = "SELECT count(*) FROM worker_runs WHERE ended_at IS NULL"
TASK_ROWS = "SELECT id, status, branch FROM tasks WHERE title LIKE 'Answer %'"
ATTEMPT_ROWS = (
    "SELECT task_id, attempts.status, attempts.cause FROM attempts JOIN tasks ON tasks.id = task_id "
    "WHERE title LIKE 'Answer %'"
)


def wait_until(event: str, happened: Callable[[], object], machines: Machines) -> None:
    """Wait for something, for a bounded time."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"no {event} in {PATIENCE_S} s:\n{machines.tail()}"
        time.sleep(0.2)


def ask(ledger: Ledger, sql: str) -> list[tuple[object, ...]]:
    """Return the rows of a query."""
    with ledger.read() as tx:
        return [tuple(row) for row in tx.execute(text(sql))]


def disturb(machines: Machines, broker: RedisServer, moment: random.Random) -> str:
    """Kill or pause something, start it again, and return what was done."""
    worker = moment.choice(WORKERS)
    kind = moment.choice(("worker", "machine", "pause", "drain", "broker", "steward"))
    if kind == "worker":
        machines.signal(worker, signal.SIGKILL)  # its runs end with it
        machines.processes[worker].wait(30)
        machines.start(worker, "--slots", "3")
    elif kind == "machine":
        machines.signal_all(worker, signal.SIGKILL)
        machines.start(worker, "--slots", "3")
    elif kind == "pause":
        machines.signal_all(worker, signal.SIGSTOP)
        time.sleep(LOST_AFTER_S + 6)  # beyond its attempts' leases, too
        machines.signal_all(worker, signal.SIGCONT)
    elif kind == "drain":
        machines.signal(worker, signal.SIGTERM)
        machines.processes[worker].wait(120)
        machines.start(worker, "--slots", "3")
    elif kind == "broker":
        broker.kill()
        time.sleep(moment.uniform(0, 5))
        broker.launch()
    else:
        machines.signal_all("steward", signal.SIGKILL)
        machines.start("steward")
    return kind


@pytest.mark.soak
@pytest.mark.timeout((MOMENTS + 3) * PATIENCE_S)
def test_kills_of_broker_workers_and_steward_lose_nothing_and_repeat_nothing(
    postgres: PostgresServer, redis: RedisServer, forge: ForgeProcess, tmp_path: Path
) -> None:
    url, moment = postgres.new_database(), random.Random(SEED)  # noqa: S311 - no secret
    ledger = open_ledger(url)
    command = ("sh", "-c", "sleep 2; date +%s%N > answer.txt")
    machines = Machines(tmp_path / "machines", url, redis, forge.api_url, forge.token, (LEDGERLIB, HANDBOOK), command)
    machines.folder.mkdir()
    for number in range(TASKS):
        add_task(ledger, repository=(LEDGERLIB, HANDBOOK)[number % 2], title=f"Answer {number}")
    done: Counter[str] = Counter()
    try:
        machines.start("steward")
        for worker in WORKERS:
            machines.start(worker, "--slots", "3")
        for _ in range(MOMENTS):
            wait_until("run under way", lambda: ask(ledger, UNDER_WAY)[0][0] or not ask(ledger, OPEN)[0][0], machines)
            time.sleep(moment.uniform(0, 4))
            done[disturb(machines, redis, moment)] += 1
        wait_until("end of all tasks", lambda: not ask(ledger, OPEN)[0][0], machines)
        machines.stop()
        # What the last runs were forked from ends a moment after its worker.
        wait_until("end of all processes", lambda: not processes_with([str(machines.folder)]), machines)
    finally:
        machines.kill()
    rows, tries = ask(ledger, TASK_ROWS), ask(ledger, ATTEMPT_ROWS)
    assert [status for _, status, _ in rows] == ["succeeded"] * TASKS, (done, tries, machines.tail())
    assert {status for _, status, _ in tries} == {"ended"}
    completed = [task_id for task_id, _, cause in tries if cause == "completed"]
    assert len(completed) == len(set(completed)) == TASKS
    branches = sorted(str(branch) for _, _, branch in rows)
    heads = [pull["head"] for repository in forge.state()["repositories"] for pull in repository["pull_requests"]]
    assert sorted(head for head in heads if head in branches) == branches
    with ledger.read() as tx:
        assert list(history_problems(tx)) == []
    assert rows_as_told_by_events(ledger) == rows_as_stored(ledger)
    assert ask(ledger, UNDER_WAY) == [(0,)]
    ledger.close()
