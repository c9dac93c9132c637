"""Everything that many machines run on is killed and paused under load: no task is lost, done twice or left over.

Broker, workers, their runs, whole machines, daemon, steward, receiver, Postgres, and agents' containers together with
their supervisors. `SQUIRE_SOAK_MOMENTS` sets how often (12), `SQUIRE_SOAK_SEED` which comes when. In `make test` the
rules behind it are shown by `tests/integration/work_queue`, `tests/integration/sensors/test_workers_queue.py` and the
lease's tests.
"""

import os
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import docker
import pytest
from sqlalchemy import text

from squire_forge.process import ForgeProcess
from squire_pipelines.agent_names import image_of
from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger.integrity import history_problems
from squire_pipelines.ledger.store import Ledger, open_ledger
from tests.support.brokers import RedisServer
from tests.support.leak_search import processes_with
from tests.support.ledgers import PostgresServer, add_task, rows_as_stored, rows_as_told_by_events
from tests.support.machine_faults import DeliveredLoad, Faults
from tests.support.pipeline import HANDBOOK, LEDGERLIB
from tests.support.worker_machines import Machines

MOMENTS = int(os.environ.get("SQUIRE_SOAK_MOMENTS", "12"))
SEED = int(os.environ.get("SQUIRE_SOAK_SEED", "1"))
OPEN_AT_ONCE = 8
PATIENCE_S = 400.0
WORKERS = ("w1", "w2", "w3", "w4")
IN_CONTAINERS = "w4"
OPEN = "SELECT count(*) FROM tasks WHERE status NOT IN ('succeeded', 'failed', 'cancelled') AND title LIKE 'Answer %'"
UNDER_WAY = "SELECT count(*) FROM worker_runs WHERE ended_at IS NULL"
TASK_ROWS = "SELECT id, status, branch FROM tasks WHERE title LIKE 'Answer %'"
ATTEMPT_ROWS = (
    "SELECT task_id, attempts.status, attempts.cause FROM attempts JOIN tasks ON tasks.id = task_id "
    "WHERE title LIKE 'Answer %'"
)
LATE = (
    "SELECT max(extract(epoch FROM ended_at - lease_until)), count(*) FROM attempts "
    "WHERE cause = 'lost' AND lease_until IS NOT NULL"
)
DELIVERED = "SELECT delivery_id, count(*) FROM deliveries GROUP BY delivery_id"


def wait_until(event: str, happened: Callable[[], object], machines: Machines) -> None:
    """Wait for something, for a bounded time."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"no {event} in {PATIENCE_S} s:\n{machines.tail()}"
        time.sleep(0.2)


def ask(ledger: Ledger, sql: str) -> list[tuple[object, ...]]:
    """Return the rows of a query; a connection of before a crash of the server is tried once more."""
    try:
        with ledger.read() as tx:
            return [tuple(row) for row in tx.execute(text(sql))]
    except LedgerError:
        with ledger.read() as tx:
            return [tuple(row) for row in tx.execute(text(sql))]


def docker_engine() -> docker.DockerClient | None:
    """The engine with the agents' image; None where there is none."""
    try:
        client = docker.from_env(timeout=60)
        client.images.get(image_of("command"))
    except docker.errors.DockerException:
        return None
    return client


def print_moment(number: int, subject: str, open_tasks: object) -> None:
    """Say what was done; `pytest -s` shows it."""
    print(f"{datetime.now(UTC):%H:%M:%S} {number + 1}/{MOMENTS} {subject}; open {open_tasks}", flush=True)  # noqa: T201


@pytest.mark.soak
@pytest.mark.timeout(MOMENTS * 60 + 3 * PATIENCE_S)
def test_kills_of_all_that_machines_share_and_run_lose_nothing_and_repeat_nothing(
    postgres: PostgresServer, redis: RedisServer, forge: ForgeProcess, tmp_path: Path
) -> None:
    url, chance = postgres.new_database(), random.Random(SEED)  # noqa: S311 - no secret
    ledger, engine = open_ledger(url), docker_engine()
    command = ("sh", "-c", "sleep 2; date +%s%N > answer.txt")
    runners = {IN_CONTAINERS: "docker"} if engine is not None else {}
    repositories = (LEDGERLIB, HANDBOOK)
    machines = Machines(
        tmp_path / "machines", url, redis, forge.api_url, forge.token, repositories, command, runners=runners
    )
    machines.folder.mkdir()
    load = DeliveredLoad(tmp_path / "receiver", {"SQUIRE_LEDGER_URL": url, "SQUIRE_LOGGING__LEVEL": "error"})
    in_containers = IN_CONTAINERS if engine is not None else None
    faults = Faults(machines, WORKERS, in_containers, redis, postgres, load, chance, engine)
    faults.attempt_ids = lambda: frozenset(str(row[0]) for row in ask(ledger, "SELECT id FROM attempts"))
    added = 0

    def keep_busy() -> int:
        nonlocal added
        (count,) = ask(ledger, OPEN)[0]
        for _ in range(OPEN_AT_ONCE - int(str(count))):
            add_task(ledger, repository=repositories[added % 2], title=f"Answer {added}", max_attempts=10)
            added += 1
        return int(str(count))

    try:
        machines.start("steward")
        for worker in WORKERS:
            machines.start(worker, "--slots", "3")
        for number in range(MOMENTS):
            open_tasks = keep_busy()
            wait_until("run under way", lambda: ask(ledger, UNDER_WAY)[0][0], machines)
            time.sleep(chance.uniform(0, 3))
            print_moment(number, faults.disturb(), open_tasks)
        faults.restore_all()
        wait_until("end of all tasks", lambda: not ask(ledger, OPEN)[0][0], machines)
        load.stop()
        assert not faults.containers() if engine is not None else True
        machines.stop()
        # What the last runs were forked from ends a moment after its worker.
        wait_until("end of all processes", lambda: not processes_with([str(machines.folder)]), machines)
    finally:
        load.stop()
        machines.kill()
        print(faults.done, ask(ledger, LATE), f"{added} tasks, {len(load.acknowledged)} deliveries")  # noqa: T201
    check_tasks(ledger, forge, added, f"{faults.done}\n{machines.tail()}")
    delivered = {str(name): count for name, count in ask(ledger, DELIVERED)}
    assert load.acknowledged <= delivered.keys()
    assert set(delivered.values()) == {1}
    ledger.close()


def check_tasks(ledger: Ledger, forge: ForgeProcess, added: int, context: str) -> None:
    """Look at what became of each task: done once, and nothing of it is open."""
    rows, tries = ask(ledger, TASK_ROWS), ask(ledger, ATTEMPT_ROWS)
    assert [status for _, status, _ in rows] == ["succeeded"] * added, (tries, context)
    assert {status for _, status, _ in tries} == {"ended"}
    completed = [task_id for task_id, _, cause in tries if cause == "completed"]
    assert len(completed) == len(set(completed)) == added
    branches = sorted(str(branch) for _, _, branch in rows)
    heads = [pull["head"] for repository in forge.state()["repositories"] for pull in repository["pull_requests"]]
    assert sorted(head for head in heads if head in branches) == branches
    with ledger.read() as tx:
        assert list(history_problems(tx)) == []
    assert rows_as_told_by_events(ledger) == rows_as_stored(ledger)
    assert ask(ledger, UNDER_WAY) == [(0,)]
