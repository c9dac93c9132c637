"""Tasks through the real daemon beside busy loops: `python -m tests.support.steady_load TASKS LOOPS`.

Starts a forge, the daemon with the shipped `dagster.yaml` and LOOPS processes that do nothing but compute, and has the
tasks run, each with an agent that sleeps for two seconds and changes nothing. Prints what became of them as JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from squire_forge.process import ForgeProcess
from squire_forge.samples import build_samples
from squire_pipelines.demo.folder import keep_secrets, secrets_in_memory
from squire_pipelines.ledger import attempts, tasks
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.runtime.services import Services
from squire_pipelines.settings.model import load_settings
from tests.support.figures import ROOT
from tests.support.ledgers import add_task

REPOSITORY = "demo/ledgerlib"
AGENT_S = 2
LONGEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class LoadRun:
    """What became of the tasks; `launch_s` are the seconds from dispatch to claim of each attempt, in their order."""

    loops: int
    seconds: float
    ended: dict[str, int]
    causes: dict[str, int]
    launch_s: tuple[float, ...]
    messages: tuple[str, ...]

    @property
    def succeeded_per_s(self) -> float:
        """How many tasks succeeded in a second."""
        return self.ended.get("succeeded", 0) / self.seconds


def _configure(home: Path, api_url: str) -> None:
    (home / "config.toml").write_text(
        f"""repositories = ["{REPOSITORY}"]
[github]
api_url = "{api_url}"
min_write_interval_s = 0
[collection]
schedule = "0 0 1 1 *"
[planner]
kind = "rules"
[dispatch]
max_per_repository = 5
max_open_pull_requests = 1000
max_new_pull_requests_per_hour = 1000
[agent]
kind = "command"
runner = "local"
command = ["sleep", "{AGENT_S}"]
[verification]
enabled = false
""",
        encoding="utf-8",
    )


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Have so many processes compute for nothing."""
    loops = [subprocess.Popen([sys.executable, "-S", "-E", "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait(30)


def _wait(ledger: Ledger, services: Services, ids: list[str]) -> None:
    deadline = time.monotonic() + LONGEST_S
    open_ids = list(ids)
    while open_ids and time.monotonic() < deadline:
        time.sleep(0.5)
        services.keep_up()
        with ledger.read() as tx:
            open_ids = [task_id for task_id in open_ids if not tasks.get(tx, task_id).status.is_final]


def _result(ledger: Ledger, ids: list[str], loops: int, seconds: float) -> LoadRun:
    with ledger.read() as tx:
        ended = Counter(str(tasks.get(tx, task_id).status) for task_id in ids)
        tried: list[Attempt] = [attempt for task_id in ids for attempt in attempts.of_task(tx, task_id)]
    tried.sort(key=lambda attempt: attempt.queued_at)
    return LoadRun(
        loops=loops,
        seconds=seconds,
        ended=dict(ended),
        causes=dict(Counter(str(attempt.cause) for attempt in tried)),
        launch_s=tuple((a.claimed_at - a.queued_at).total_seconds() for a in tried if a.claimed_at is not None),
        messages=tuple(f"{a.id}: {a.message}" for a in tried if a.cause not in {"completed", "no_changes"}),
    )


def run(count: int, loops: int) -> LoadRun:
    """Have `count` tasks run beside so many busy loops, which begin once the daemon has started."""
    with tempfile.TemporaryDirectory(prefix="sq-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        os.environ["SQUIRE_HOME"] = name
        with secrets_in_memory(home) as memory, ForgeProcess.start(home / "forge") as forge:
            for sample in build_samples(home / "samples"):
                if sample.full_name == REPOSITORY:
                    forge.host_repository(sample)
            _configure(home, forge.api_url)
            keep_secrets(home, memory, {"github-token": forge.token})
            settings = load_settings()
            ledger = open_ledger(settings.resolved_ledger_url)
            try:
                with Services(settings, say=lambda text: print(text, file=sys.stderr)) as services:  # noqa: T201
                    services.start_daemon()
                    first = add_task(ledger, repository=REPOSITORY, base_branch="main", title="The first")
                    _wait(ledger, services, [first])  # the daemon's own start is not what is measured
                    with busy_loops(loops):
                        began = time.monotonic()
                        ids = [
                            add_task(ledger, repository=REPOSITORY, base_branch="main", title=f"Nothing {number}")
                            for number in range(count)
                        ]
                        _wait(ledger, services, ids)
                        seconds = time.monotonic() - began
                return _result(ledger, ids, loops, seconds)
            finally:
                ledger.close()


def run_apart(count: int, loops: int) -> LoadRun:
    """Do the same in a process of its own, whose children all end with it."""
    command = [sys.executable, "-m", "tests.support.steady_load", str(count), str(loops)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=LONGEST_S + 600, check=True)
    return LoadRun(**json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    print(json.dumps(asdict(run(int(sys.argv[1]), int(sys.argv[2])))))  # noqa: T201 - its output
