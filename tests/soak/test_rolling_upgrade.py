"""Squire is upgraded on several machines while it works, and taken back: nothing is lost, and nothing is done twice.

`SQUIRE_SOAK_TASKS` sets how many tasks are worked on (16). The next version is a copy of this source with one more
migration and fields that this version does not know. `make upgrade-demo` runs it; in `make test` the rule behind it is
shown by `tests/integration/ledger/test_adjacent_programs.py`.
"""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from squire_forge.process import ForgeProcess
from squire_pipelines import __version__
from squire_pipelines.ledger.integrity import history_problems
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.runtime.ports import free_port
from tests.support import next_version
from tests.support.balanced_deliveries import BalancedDeliveries
from tests.support.brokers import RedisServer
from tests.support.figures import ROOT
from tests.support.leak_search import processes_with
from tests.support.ledgers import PostgresServer, add_task, rows_as_stored, rows_as_told_by_events
from tests.support.next_version import LATER, REVISION, VERSION
from tests.support.pipeline import HANDBOOK, LEDGERLIB
from tests.support.worker_machines import Machines

TASKS = int(os.environ.get("SQUIRE_SOAK_TASKS", "16"))
PATIENCE_S = 400.0
WORKERS = ("w1", "w2")
RECEIVERS = ("r1", "r2")
SLOTS = ("--slots", "2")
OPEN = "SELECT count(*) FROM tasks WHERE status NOT IN ('succeeded', 'failed', 'cancelled') AND title LIKE 'Answer %'"
DONE = "SELECT count(*) FROM tasks WHERE status = 'succeeded' AND title LIKE 'Answer %'"
TASK_ROWS = "SELECT id, status, branch FROM tasks WHERE title LIKE 'Answer %'"
ATTEMPT_ROWS = (
    "SELECT task_id, attempts.status, attempts.cause FROM attempts JOIN tasks ON tasks.id = task_id "
    "WHERE title LIKE 'Answer %'"
)
DELIVERY_ROWS = "SELECT delivery_id, error FROM deliveries WHERE delivery_id LIKE 'b-%'"
UNHANDLED = (
    "SELECT count(*) FROM deliveries WHERE delivery_id LIKE 'b-%' AND (collected_at IS NULL OR applied_at IS NULL)"
)
UNDER_WAY = "SELECT count(*) FROM worker_runs WHERE ended_at IS NULL"
LIVE = "SELECT name, version FROM workers WHERE ended_at IS NULL AND refusal IS NULL ORDER BY name"
STEWARD = "SELECT version FROM role_leases WHERE role = 'steward' AND lease_until > now()"


class Cluster:
    """The machines, and what can be waited for."""

    def __init__(self, machines: Machines, ledger: Ledger) -> None:
        self.machines = machines
        self.ledger = ledger
        self.ports = {name: free_port() for name in RECEIVERS}

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Return the rows of a query."""
        with self.ledger.read() as tx:
            return [tuple(row) for row in tx.execute(text(sql))]

    def count(self, sql: str) -> int:
        """Return the one number that a query gives."""
        return int(str(self.ask(sql)[0][0]))

    def wait_until(self, event: str, happened: Callable[[], object], *, of: str | None = None) -> None:
        """Wait for something, for a bounded time and as long as the process `of` a machine lives."""
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert of is None or self.machines.processes[of].poll() is None, self.machines.tail()
            assert time.monotonic() < deadline, f"no {event} in {PATIENCE_S} s:\n{self.machines.tail()}"
            time.sleep(0.2)

    def start(self, name: str, code: Path) -> None:
        """Start what a machine is for."""
        if name in RECEIVERS:
            self.machines.start_receiver(name, self.ports[name], code=code)
        else:
            self.machines.start(name, *(SLOTS if name in WORKERS else ()), code=code)

    def replace(self, names: tuple[str, ...], code: Path, version: str) -> None:
        """Have each end in its own time, one after the other, and start the other version in its place."""
        for name in names:
            self.machines.signal(name, signal.SIGTERM)
            self.machines.processes[name].wait(180)
            self.start(name, code)
            if name in WORKERS:
                self.wait_until(f"{name} of {version}", partial(self._is_live, name, version), of=name)
            elif name not in RECEIVERS:
                self.wait_until(f"steward of {version}", lambda: self.ask(STEWARD) == [(version,)], of=name)
            self.go_on()

    def _is_live(self, name: str, version: str) -> bool:
        return (name, version) in self.ask(LIVE)

    def go_on(self) -> None:
        """Wait until one more task is done, or all are."""
        done = self.count(DONE)
        self.wait_until("end of one more task", lambda: self.count(DONE) > done or not self.count(OPEN))


@pytest.mark.soak
@pytest.mark.timeout(12 * PATIENCE_S)
def test_an_upgrade_and_the_way_back_lose_nothing_and_repeat_nothing(
    postgres: PostgresServer, redis: RedisServer, forge: ForgeProcess, tmp_path: Path
) -> None:
    url = postgres.new_database()
    ledger = open_ledger(url)
    later = next_version.make_next_version(tmp_path)
    command = ("sh", "-c", "sleep 2; date +%s%N > answer.txt")
    machines = Machines(tmp_path / "machines", url, redis, forge.api_url, forge.token, (LEDGERLIB, HANDBOOK), command)
    machines.folder.mkdir()
    cluster = Cluster(machines, ledger)
    for number in range(TASKS):
        add_task(ledger, repository=(LEDGERLIB, HANDBOOK)[number % 2], title=f"Answer {number}")
    began = time.monotonic()
    urls = [f"http://127.0.0.1:{port}" for port in cluster.ports.values()]
    try:
        for name in ("steward", *RECEIVERS, *WORKERS):
            cluster.start(name, ROOT)
        with BalancedDeliveries(urls, (LEDGERLIB, HANDBOOK), pause_s=0.5) as stream:
            cluster.wait_until("delivery", lambda: stream.accepted)
            cluster.go_on()
            machines.run("w1", "ledger", "upgrade", code=later)
            assert ledger.revision() == REVISION
            cluster.go_on()
            cluster.replace(WORKERS, later, VERSION)
            cluster.replace(RECEIVERS, later, VERSION)
            cluster.replace(("steward",), later, VERSION)
            upgraded_s = time.monotonic() - began
            # Back: the schema stays, and the programs that are older come in the other order.
            cluster.replace(("steward",), ROOT, __version__)
            cluster.replace(RECEIVERS, ROOT, __version__)
            cluster.replace(WORKERS, ROOT, __version__)
        cluster.wait_until("end of all tasks", lambda: not cluster.count(OPEN))
        cluster.wait_until("reading of all deliveries", lambda: not cluster.count(UNHANDLED))
        seconds = time.monotonic() - began
        machines.stop()
        cluster.wait_until("end of all processes", lambda: not processes_with([str(machines.folder)]))
    finally:
        machines.kill()
    tries = check_effects(cluster, forge, stream.accepted)
    assert ledger.revision() == REVISION  # which the older programs have used
    # Both versions have worked, and what one wrote the other has read.
    runs = {row[0]: row[1] for row in cluster.ask("SELECT later, count(*) FROM worker_runs GROUP BY later")}
    assert set(runs) == {None, LATER}
    others = ", ".join(cause for cause in tries if cause != "completed") or "none"
    print(  # noqa: T201 - the figures of the drill
        f"\n{TASKS} tasks in {seconds:.0f} s, upgraded within {upgraded_s:.0f} s to schema {REVISION}; "
        f"{len(stream.accepted)} deliveries, {stream.refused} refused and delivered again; "
        f"{runs[None]} runs of Squire {__version__}, {runs[LATER]} of {VERSION}; attempts beside: {others}"
    )
    ledger.close()


def check_effects(cluster: Cluster, forge: ForgeProcess, accepted: list[str]) -> list[str]:
    """Compare what is there with what was asked for; return the causes with which attempts have ended."""
    rows, tries = cluster.ask(TASK_ROWS), cluster.ask(ATTEMPT_ROWS)
    assert [status for _, status, _ in rows] == ["succeeded"] * TASKS, (tries, cluster.machines.tail())
    assert {status for _, status, _ in tries} == {"ended"}
    completed = [task_id for task_id, _, cause in tries if cause == "completed"]
    assert len(completed) == len(set(completed)) == TASKS
    branches = sorted(str(branch) for _, _, branch in rows)
    heads = [pull["head"] for repository in forge.state()["repositories"] for pull in repository["pull_requests"]]
    assert sorted(head for head in heads if head in branches) == branches
    known = [name for name, _ in cluster.ask(DELIVERY_ROWS)]
    assert len(known) == len(set(known))
    assert set(accepted) <= set(known)
    assert {error for _, error in cluster.ask(DELIVERY_ROWS)} == {None}
    assert cluster.ask(UNDER_WAY) == [(0,)]
    with cluster.ledger.read() as tx:
        assert list(history_problems(tx)) == []
    assert rows_as_told_by_events(cluster.ledger) == rows_as_stored(cluster.ledger)
    return [str(cause) for _, _, cause in tries]
