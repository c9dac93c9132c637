"""Small child processes for tests: how to start one that says it is up, wait for what it does, and see it end."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from squire_pipelines.runtime.processes import Child

PATIENCE_S = 60.0
SLEEP = (sys.executable, "-c", "print('up', flush=True); import time; time.sleep(100)")


def wait_until(happened: Callable[[], bool]) -> None:
    """Look again and again, for a bounded time."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start_child(run: Path, argv: tuple[str, ...] = SLEEP, name: str = "one") -> Child:
    child = Child.start(name, argv, run=run, env=os.environ)
    wait_until(lambda: "up" in child.last_lines())
    return child


def alive(group: int) -> bool:
    """Whether a process group has members that are more than a name in the table."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True, timeout=10)
    return any(int(row.split()[0]) == group and "Z" not in row.split()[1] for row in listed.stdout.splitlines())
