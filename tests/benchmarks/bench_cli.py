"""How long the command takes from a cold start, as a whole process: `make bench-cli`.

Beside it, by turns, run Python that does nothing, and Python that reads the same tasks with raw `sqlite3`.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from squire_pipelines.domain.plans import ApprovalRule
from squire_pipelines.domain.tasks import Plan, Risk, TaskSpec
from squire_pipelines.ledger import plans
from squire_pipelines.ledger.store import open_ledger
from tests.support.figures import Figure, by_turns, percentile, ratio, report, seconds
from tests.support.ledgers import admission

RUNS = 20
TASKS = 1000
MAX_VALIDATE_S = 0.5
MAX_STATUS_S = 1.0
MAX_COMPLETION_S = 0.2
_CONFIG = """
repositories = ["acme/api", "acme/shop"]
[agent]
kind = "claude-code"
provider = "claude"
[providers.claude]
protocol = "anthropic"
[[agent.choose]]
labels = ["hard"]
agent = { claude-code = 2, aider = 1 }
[repository."acme/shop".policy]
max_files = 20
"""
SQUIRE = str(Path(sys.executable).with_name("squire"))
COMPLETION = ("env", "_SQUIRE_COMPLETE=bash_complete", "COMP_WORDS=squire tasks cancel t", "COMP_CWORD=3")
_RAW_LIST = """
import sqlite3, sys
columns = "id, repository, status, priority, title, created_at"
query = f"SELECT {columns} FROM tasks WHERE status NOT IN ('succeeded', 'failed', 'cancelled') ORDER BY created_at DESC"
for row in sqlite3.connect(sys.argv[1]).execute(query).fetchmany(100):
    print(*row)
"""


def fill(home: Path) -> None:
    """Make a ledger with 1,000 tasks."""
    ledger = open_ledger(f"sqlite:///{home / 'ledger.sqlite'}")
    specs = tuple(
        TaskSpec(key=f"k{number}", title=f"Task {number}", prompt=f"Do {number}.", base_branch="main")
        for number in range(TASKS)
    )
    plan = Plan(repository="acme/api", planner="rules", signals_digest="0", tasks=specs)
    with ledger.write() as tx:
        saved = plans.save(tx, plan, [], trace_id="0" * 32, run_id=None)
        approval = ApprovalRule(automatic=True, min_confidence=0.5, max_risk=Risk.HIGH)
        plans.admit(tx, saved.id, admission(approval, 3))
    ledger.close()


def program(home: Path, command: Sequence[str]) -> Callable[[], float]:
    """Return what runs a command once, and returns its wall seconds."""
    # An installed command has its modules compiled.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["SQUIRE_HOME"] = str(home)
    return partial(
        seconds,
        partial(subprocess.run, command, env=environment, check=True, capture_output=True, timeout=60),
    )


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        fill(home)
        (home / "config.toml").write_text(_CONFIG, encoding="utf-8")
        commands = {
            "bare": [sys.executable, "-c", "pass"],
            "raw": [sys.executable, "-c", _RAW_LIST, str(home / "ledger.sqlite")],
            "help": [SQUIRE, "--help"],
            "list": [SQUIRE, "tasks", "list"],
            "validate": [SQUIRE, "config", "validate"],
            "status": [SQUIRE, "status", "--fail-on", "never"],
            "completion": [*COMPLETION, SQUIRE],
        }
        taken = by_turns({name: program(home, command) for name, command in commands.items()}, RUNS)
    return report(
        "cli",
        [
            Figure("squire --help / python -c pass", ratio(taken["help"], taken["bare"]), "x", 8),
            Figure(f"squire tasks list / raw sqlite3 ({TASKS} tasks)", ratio(taken["list"], taken["raw"]), "x", 10),
            Figure("squire config validate, median", statistics.median(taken.pop("validate")), "s", MAX_VALIDATE_S),
            Figure(f"squire status ({TASKS} tasks), median", statistics.median(taken.pop("status")), "s", MAX_STATUS_S),
            Figure(
                f"completion of an id ({TASKS} tasks), median",
                statistics.median(taken.pop("completion")),
                "s",
                MAX_COMPLETION_S,
            ),
            *(Figure(f"{name}, median", statistics.median(values), "s") for name, values in taken.items()),
            Figure("squire --help, p95", percentile(taken["help"], 0.95), "s"),
            Figure(f"squire tasks list ({TASKS} tasks), p95", percentile(taken["list"], 0.95), "s"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
