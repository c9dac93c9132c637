"""How long the command takes from a cold start, as a whole process: `make bench-cli`."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from squire_pipelines.domain.plans import ApprovalRule
from squire_pipelines.domain.tasks import Plan, Risk, TaskSpec
from squire_pipelines.ledger import plans
from squire_pipelines.ledger.store import open_ledger
from tests.support.figures import Figure, percentile, report

RUNS = 20
TASKS = 1000
SQUIRE = Path(sys.executable).with_name("squire")


def fill(home: Path) -> None:
    """A ledger with 1,000 tasks."""
    ledger = open_ledger(f"sqlite:///{home / 'ledger.sqlite'}")
    specs = tuple(
        TaskSpec(key=f"k{number}", title=f"Task {number}", prompt=f"Do {number}.", base_branch="main")
        for number in range(TASKS)
    )
    plan = Plan(repository="acme/api", planner="rules", signals_digest="0", tasks=specs)
    with ledger.write() as tx:
        saved = plans.save(tx, plan, [], trace_id="0" * 32, run_id=None)
        approval = ApprovalRule(automatic=True, min_confidence=0.5, max_risk=Risk.HIGH)
        plans.admit(tx, saved.id, approval=approval, max_attempts=3)
    ledger.close()


def measure(home: Path, *arguments: str) -> list[float]:
    """Wall seconds of each run, the first (which may write caches) left out."""
    environment = {**os.environ, "SQUIRE_HOME": str(home)}
    taken = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        subprocess.run([SQUIRE, *arguments], env=environment, check=True, capture_output=True, timeout=60)
        taken.append(time.perf_counter() - began)
    return taken[1:]


def main() -> int:
    """Measures and reports."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        fill(home)
        start = measure(home, "--help")
        listing = measure(home, "tasks", "list")
        bare = [0.0] * RUNS
        for index in range(RUNS):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=60)
            bare[index] = time.perf_counter() - began
    return report(
        "cli",
        [
            Figure("python -c pass, median", statistics.median(bare), "s"),
            Figure("squire --help, median", statistics.median(start), "s", 0.2),
            Figure("squire --help, p95", percentile(start, 0.95), "s"),
            Figure(f"squire tasks list ({TASKS} tasks), median", statistics.median(listing), "s", 0.5),
            Figure(f"squire tasks list ({TASKS} tasks), p95", percentile(listing, 0.95), "s"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
