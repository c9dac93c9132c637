"""`squire dev` is restarted under load, asked to and killed: no delivery, task or attempt is lost or done twice.

`SQUIRE_SOAK_RESTARTS` sets how often (4), by turns with SIGTERM and with SIGKILL to all of its processes at once.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.ledger.integrity import history_problems
from squire_pipelines.runtime.ports import free_port
from tests.support.deliveries import SECRET
from tests.support.delivery_stream import DeliveryStream
from tests.support.leak_search import processes_with
from tests.support.ledgers import add_task, rows_as_stored, rows_as_told_by_events
from tests.support.pipeline import HANDBOOK, LEDGERLIB, Pipeline

RESTARTS = int(os.environ.get("SQUIRE_SOAK_RESTARTS", "4"))
TASKS = 3 * RESTARTS
PATIENCE_S = 400.0
GRACE_S = 120.0
OPEN = "SELECT 1 FROM tasks WHERE status NOT IN ('succeeded', 'failed', 'cancelled') AND title LIKE 'Answer %'"
TASK_ROWS = "SELECT status, branch FROM tasks WHERE title LIKE 'Answer %'"
ATTEMPT_ROWS = (
    "SELECT task_id, attempts.status, attempts.cause FROM attempts JOIN tasks ON tasks.id = task_id "
    "WHERE title LIKE 'Answer %'"
)


class RunningDev:
    """`squire dev` in a session of its own, on the home of a pipeline."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._others = set(processes_with([str(home)]))  # such as the forge, which stays
        command = [sys.executable, "-m", "squire_pipelines.cli", "dev", "--port", str(free_port())]
        with (home.parent / "dev.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(GRACE_S) == 0, self.tail()

    def kill(self) -> None:
        """Kill it with everything that it has started, as a loss of power does."""
        self.process.kill()
        while living := set(processes_with([str(self.home)])) - self._others:  # some start others meanwhile
            for pid in living:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait(GRACE_S)

    def tail(self) -> str:
        """Return the end of what it wrote."""
        return (self.home.parent / "dev.log").read_text("utf-8", errors="replace")[-4000:]


def ask(home: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query of the ledger's file."""
    with closing(sqlite3.connect(f"file:{home / 'ledger.sqlite'}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(sql).fetchall()


def wait_until(event: str, happened: Callable[[], object], dev: RunningDev) -> None:
    """Wait for something, for a bounded time and as long as the process lives."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert dev.process.poll() is None, f"it ended before {event}:\n{dev.tail()}"
        assert time.monotonic() < deadline, f"no {event} in {PATIENCE_S} s:\n{dev.tail()}"
        time.sleep(0.2)


@contextmanager
def started() -> Iterator[list[RunningDev]]:
    """Yield the list of all that were started, of which nothing is left at the end."""
    devs: list[RunningDev] = []
    try:
        yield devs
    finally:
        for dev in devs:
            dev.kill()


@pytest.mark.soak
@pytest.mark.timeout((RESTARTS + 2) * (PATIENCE_S + GRACE_S))
def test_restarts_lose_nothing_and_repeat_nothing(
    pipeline: Pipeline, forge: ForgeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, port = pipeline.home, free_port()
    monkeypatch.setenv("SQUIRE_HOME", str(home))
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", SECRET.decode())
    pipeline.commands = {name: ["sh", "-c", "sleep 3; date +%s%N > answer.txt"] for name in (LEDGERLIB, HANDBOOK)}
    times = "[dispatch]\nretry_base_s = 1\nretry_cap_s = 2\nlease_s = 20\nmax_new_pull_requests_per_hour = 1000\n"
    pipeline.configure(f"{times}[webhooks]\nport = {port}\n")
    for number in range(TASKS):
        add_task(pipeline.ledger, repository=(LEDGERLIB, HANDBOOK)[number % 2], title=f"Answer {number}")
    pipeline.ledger.close()
    others = set(processes_with([str(home)]))
    with started() as devs, DeliveryStream(f"http://127.0.0.1:{port}", pause_s=0.3, most_problems=10_000) as stream:
        for restart in range(RESTARTS):
            devs.append(RunningDev(home))
            before, accepted = set(_with_agents(home)), stream.accepted
            wait_until("an agent", partial(_has_more, home, before), devs[-1])
            wait_until("deliveries", partial(_accepts, stream, accepted), devs[-1])
            if restart % 2 == 0:
                devs[-1].stop()
            else:
                devs[-1].kill()
        devs.append(RunningDev(home))
        wait_until(
            "the end of all tasks",
            lambda: not ask(home, OPEN),
            devs[-1],
        )
        devs[-1].stop()
    assert set(processes_with([str(home)])) == others

    known = [row[0] for row in ask(home, "SELECT delivery_id FROM deliveries WHERE delivery_id LIKE 's-%'")]
    assert set(stream.accepted_ids) <= set(known)
    assert len(known) == len(set(known))
    rows, tries = ask(home, TASK_ROWS), ask(home, ATTEMPT_ROWS)
    assert [status for status, _ in rows] == ["succeeded"] * TASKS
    assert {status for _, status, _ in tries} == {"ended"}
    completed = [task_id for task_id, _, cause in tries if cause == "completed"]
    assert len(completed) == len(set(completed)) == TASKS
    branches = [branch for _, branch in rows]
    heads = [
        pull["head"]
        for repository in forge.state()["repositories"]
        for pull in repository["pull_requests"]
        if pull["head"] in branches
    ]
    assert sorted(heads) == sorted(branches)
    with pipeline.ledger.read() as tx:
        assert list(history_problems(tx)) == []
    assert rows_as_told_by_events(pipeline.ledger) == rows_as_stored(pipeline.ledger)


def _has_more(home: Path, before: set[tuple[Any, ...]]) -> bool:
    return not before.issuperset(_with_agents(home))


def _accepts(stream: DeliveryStream, before: int) -> bool:
    return stream.accepted > before


def _with_agents(home: Path) -> list[tuple[Any, ...]]:
    return ask(home, "SELECT id FROM attempts WHERE agent_started_at IS NOT NULL")
