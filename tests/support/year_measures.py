"""What is measured on the homes of the simulated year, by turns: the first day's and the whole year's."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.endpoint.snapshot import MetricsReading, Snapshot
from squire_pipelines.ledger import attempts, task_dispatch
from squire_pipelines.ledger.attempts import RetryRule
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.warehouse.publish import publish_warehouse
from tests.support.figures import ROOT, percentile
from tests.support.ledgers import add_tasks, spec
from tests.support.year_home import environment

TASKS_AT_ONCE = 40
_RETRY = RetryRule(base_s=30, cap_s=900)
_COMMAND_S = 120
_PUBLISHED_EACH = timedelta(minutes=10)


class MeasuredHome:
    """One of the homes.

    Args:
        home: Its folder.
        readings_of: Makes the metrics' readings of a ledger, with a folder for counters.
    """

    def __init__(self, home: Path, readings_of: Callable[[Ledger, Path], dict[str, MetricsReading]]) -> None:
        self.home = home
        self._ahead = timedelta()
        self.ledger = Ledger(f"sqlite:///{home / 'ledger.sqlite'}", clock=lambda: datetime.now(UTC) + self._ahead)
        self._readings = readings_of(self.ledger, home / "metrics")
        self._number = 0
        publish_warehouse(self.ledger, home / "warehouse.duckdb")

    def transitions(self) -> float:
        """Take tasks from ready to their end; return the seconds that 95 of 100 transactions stay below."""
        self._number += 1
        keys = [spec(f"k{self._number}-{task}") for task in range(TASKS_AT_ONCE)]
        add_tasks(self.ledger, *keys, repository="acme/repository-000")
        times: list[float] = []

        ending = Ending(cause=Cause.COMPLETED, message="done")
        for _ in range(TASKS_AT_ONCE):
            with self._timed(times) as tx:
                (attempt,) = task_dispatch.dispatch(tx, max_concurrent=1, max_per_repository=1, claim_deadline_s=600)
            with self._timed(times) as tx:
                token = attempts.claim(tx, attempt.id, run_id="run", lease_s=60).lease_token or ""
            with self._timed(times) as tx:
                attempts.heartbeat(tx, attempt.id, token, lease_s=60)
            with self._timed(times) as tx:
                attempts.settle(tx, attempt.id, token, ending, retry=_RETRY, actor="run")
        return percentile(times, 0.95)

    @contextmanager
    def _timed(self, times: list[float]) -> Iterator[Transaction]:
        began = time.perf_counter()
        with self.ledger.write() as tx:
            yield tx
        times.append(time.perf_counter() - began)

    def publication(self) -> float:
        """Take tasks to their end and publish that ten minutes later, as the schedule does; return its seconds."""
        self.transitions()
        self._ahead += _PUBLISHED_EACH  # what was published before lies outside of the overlap, as it would
        publication = publish_warehouse(self.ledger, self.home / "warehouse.duckdb")
        if publication.mode != "incremental":
            raise RuntimeError(f"everything was published: {publication.reason}")
        return publication.seconds

    def tasks_list(self) -> float:
        """List the tasks; return the seconds."""
        return self._command("tasks", "list")

    def status(self) -> float:
        """Ask for the status; return the seconds."""
        return self._command("status", "--fail-on", "never")

    def metrics(self) -> float:
        """Make all readings and the text of a scrape; return the seconds."""
        for reading in self._readings.values():
            reading.due_at = 0.0
        snapshot = Snapshot(tuple(self._readings.values()), interval_s=lambda: 10)
        began = time.perf_counter()
        snapshot.refresh()
        snapshot.text()
        return time.perf_counter() - began

    def size(self) -> int:
        """Return the bytes of the home on the disk."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """Return the bytes of each file and folder of the home."""
        return {
            path.name: sum(file.lstat().st_blocks * 512 for file in (path, *path.rglob("*")))
            for path in self.home.iterdir()
        }

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()

    def _command(self, *arguments: str) -> float:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "squire_pipelines.cli", *arguments],
            env={**os.environ, **environment(self.home)},
            cwd=ROOT,
            check=True,
            capture_output=True,
            timeout=_COMMAND_S,
        )
        return time.perf_counter() - began
