"""From a ready task to its agent's first instruction, by the real daemon: `python -m tests.support.ready_to_agent N`.

Starts a forge and the daemon with the shipped `dagster.yaml` in a home of its own, and makes N tasks ready one after
the other, each when the one before is done. By turns with them, a second daemon launches a bare Dagster job
(`tests.support.bare_job`), and a bare container is started: what a run and a container take at the least. Prints a
JSON list of where the seconds went.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from squire_forge.process import ForgeProcess
from squire_forge.samples import build_samples
from squire_pipelines.agents import engine
from squire_pipelines.demo.folder import keep_secrets, secrets_in_memory
from squire_pipelines.ledger import attempts, tasks
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.runtime.dagster_home import dagster_yaml, instance_environment
from squire_pipelines.runtime.services import Services
from squire_pipelines.settings.model import Settings, load_settings
from tests.support import bare_job
from tests.support.figures import ROOT, seconds
from tests.support.ledgers import add_task

REPOSITORY = "demo/ledgerlib"
TIMEOUT_S = 180.0


def configure(home: Path, api_url: str) -> None:
    """Write the home's settings: a command in a container, no collections meanwhile."""
    (home / "config.toml").write_text(
        f"""repositories = ["{REPOSITORY}"]
[github]
api_url = "{api_url}"
min_write_interval_s = 0
[collection]
schedule = "0 0 1 1 *"
[planner]
kind = "rules"
[agent]
kind = "command"
runner = "docker"
command = ["true"]
""",
        encoding="utf-8",
    )


def run_task(ledger: Ledger, number: int) -> dict[str, float]:
    """Make one task ready and wait until it is done; return the parts of its way to the agent, in seconds."""
    task_id = add_task(ledger, repository=REPOSITORY, base_branch="main", title=f"Nothing {number}")
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        with ledger.read() as tx:
            task, tried = tasks.get(tx, task_id), attempts.of_task(tx, task_id)
        if task.status.is_final:
            break
        time.sleep(0.1)
    attempt = tried[-1]
    if attempt.agent_started_at is None or attempt.claimed_at is None or task.ready_at is None:
        sys.exit(f"{task.status}: {task.cause}: {task.message}")
    timings = attempt.timings.parts() if attempt.timings else {}
    parts: dict[str, float] = {
        "total_s": (attempt.agent_started_at - task.ready_at).total_seconds(),
        "ready → dispatched": (attempt.queued_at - task.ready_at).total_seconds(),
        "dispatched → claimed (launch, imports)": (attempt.claimed_at - attempt.queued_at).total_seconds(),
    }
    known = ("mirror_s", "image_s", "create_s", "start_s", "workspace_in_s", "agent_start_s")
    parts |= {name: timings.get(name, 0.0) for name in known}
    rest = (attempt.agent_started_at - attempt.claimed_at).total_seconds() - sum(parts[name] for name in known)
    parts["between the steps"] = rest
    return parts


@contextmanager
def bare_daemon(settings: Settings, folder: Path) -> Iterator[None]:
    """Run a daemon that knows the bare job alone, with the same `dagster.yaml`."""
    dagster_home = folder / "dagster"
    dagster_home.mkdir(parents=True)
    shutil.copyfile(dagster_yaml(), dagster_home / "dagster.yaml")
    environment = {
        **instance_environment(settings),
        "DAGSTER_HOME": str(dagster_home),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        bare_job.FOLDER_VARIABLE: str(folder),
    }
    command = [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-m", "tests.support.bare_job"]
    with (folder / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(daemon.pid, signal.SIGTERM)
        daemon.wait(30)


def run_bare_job(folder: Path, number: int) -> float:
    """Have the bare job run once; return the seconds from the sensor's request to its op's first instruction."""
    request = folder / f"{number}.request"
    request.touch()
    started = request.with_suffix(".started")
    deadline = time.monotonic() + TIMEOUT_S
    while not (started.exists() and started.read_text()):
        if time.monotonic() > deadline:
            sys.exit("the bare job did not run:\n" + (folder / "daemon.log").read_text()[-3000:])
        time.sleep(0.1)
    return float(started.read_text()) - float(request.with_suffix(".requested").read_text())


def start_bare_container(image: str) -> float:
    """Create and start a container without anything; return the seconds that this takes."""
    client = engine.connect(60)
    try:
        created = []

        def start() -> None:
            created.append(client.containers.create(image, entrypoint=["true"], network_mode="none"))
            created[0].start()

        taken = seconds(start)
        created[0].remove(force=True)
        return taken
    finally:
        client.close()


def measure(settings: Settings, ledger: Ledger, folder: Path, count: int) -> list[dict[str, Any]]:
    """Run tasks and bare jobs by turns."""
    rows = []
    for number in range(count + 1):
        # Each at another moment of the daemons' five seconds: they would all be one after a tick.
        time.sleep(5.0 * number / (count + 1))
        floor = {} if number % 2 else {"bare_job_s": run_bare_job(folder, number)}
        floor["bare_container_s"] = start_bare_container(settings.agent.worker_image)
        parts = run_task(ledger, number)
        if number % 2:
            floor["bare_job_s"] = run_bare_job(folder, number)
        if number:  # the daemons' own start is not what is measured
            rows.append(parts | floor)
    return rows


def main(count: int) -> None:
    """Print the rows."""
    with tempfile.TemporaryDirectory(prefix="sq-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        os.environ["SQUIRE_HOME"] = name
        with secrets_in_memory(home) as memory, ForgeProcess.start(home / "forge") as forge:
            for sample in build_samples(home / "samples"):
                if sample.full_name == REPOSITORY:
                    forge.host_repository(sample)
            configure(home, forge.api_url)
            keep_secrets(home, memory, {"github-token": forge.token})
            settings = load_settings()
            ledger = open_ledger(settings.resolved_ledger_url)
            with (
                Services(settings, say=lambda text: print(text, file=sys.stderr)) as services,  # noqa: T201 - progress
                bare_daemon(settings, home / "bare"),
            ):
                services.start_daemon()
                rows = measure(settings, ledger, home / "bare", count)
            ledger.close()
    print(json.dumps(rows))  # noqa: T201 - its output


if __name__ == "__main__":
    main(int(sys.argv[1]))
