"""Child processes for tests: how to start one that says it is up, wait for what it does, and see it end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from squire_pipelines.runtime.processes import Child
from tests.support.leak_search import processes_with

PATIENCE_S = 150.0
"""A busy machine's, and less than a test's own limit, so that the wait that was in vain is what is reported."""
SLEEP = (sys.executable, "-c", "print('up', flush=True); import time; time.sleep(600)")
_GRACE_S = 30.0


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


@contextmanager
def command_that_starts_others(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]
) -> Iterator["subprocess.Popen[str]"]:
    """Start a command of ours, with its output in pipes; neither it nor what it has started outlives the block.

    Args:
        argv: The command.
        cwd: Where it runs. Its path stands in `env`, by which the processes that it starts are found.
        env: Its environment, which those inherit.
    """
    with subprocess.Popen(argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()  # it then stops the others
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=_GRACE_S)
            for left in processes_with([str(cwd)]):
                with suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)
