"""From a ready task to its agent's first instruction, by the real daemon: `python -m tests.support.ready_to_agent N`.

Starts a forge and the daemon with the shipped `dagster.yaml` in a home of its own, makes N tasks ready one after the
other, each when the one before is done, and prints a JSON list of where the seconds went.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from squire_forge.process import ForgeProcess
from squire_forge.samples import build_samples
from squire_pipelines.ledger import attempts, tasks
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.runtime.services import Services
from squire_pipelines.settings import load_settings
from tests.support.ledgers import add_task

REPOSITORY = "demo/ledgerlib"
TIMEOUT_S = 120.0


def configure(home: Path, api_url: str) -> None:
    """Settings of the home: a command in a container, no collections meanwhile."""
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


def one(ledger: Ledger, number: int) -> dict[str, float]:
    """Make one task ready and wait until it is done; the parts of its way to the agent, in seconds."""
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
    parts = attempt.timings.parts() if attempt.timings else {}
    split: dict[str, float] = {
        "total_s": (attempt.agent_started_at - task.ready_at).total_seconds(),
        "ready → dispatched": (attempt.queued_at - task.ready_at).total_seconds(),
        "dispatched → claimed (launch, imports)": (attempt.claimed_at - attempt.queued_at).total_seconds(),
    }
    known = ("mirror_s", "image_s", "create_s", "start_s", "workspace_in_s", "agent_start_s")
    split |= {name: parts.get(name, 0.0) for name in known}
    rest = (attempt.agent_started_at - attempt.claimed_at).total_seconds() - sum(split[name] for name in known)
    split["between the steps"] = rest
    return split


def main(count: int) -> None:
    """Print the splits."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="sq-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        os.environ["SQUIRE_HOME"] = folder
        with ForgeProcess.start(home / "forge") as forge:
            for sample in build_samples(home / "samples"):
                if sample.full_name == REPOSITORY:
                    forge.host_repository(sample)
            configure(home, forge.api_url)
            os.environ["SQUIRE_GITHUB_TOKEN"] = forge.token
            settings = load_settings()
            ledger = open_ledger(settings.resolved_ledger_url)
            with Services(settings, say=lambda text: print(text, file=sys.stderr)) as services:  # noqa: T201 - progress
                services.start_daemon()
                one(ledger, 0)  # the daemon's own start is not what is measured
                for number in range(1, count + 1):
                    # Each at another moment of the daemon's five seconds: they would all be one after a tick.
                    time.sleep(5.0 * number / count)
                    rows.append(one(ledger, number))
            ledger.close()
    print(json.dumps(rows))  # noqa: T201 - its output


if __name__ == "__main__":
    main(int(sys.argv[1]))
