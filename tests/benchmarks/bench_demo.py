"""How long `squire demo` takes with a repository of one's own and a command of a tenth of a second: `make bench-demo`.

The whole command, from its start to its end, in a home that is new each time; agents run as local processes. On a busy
machine the processor's seconds tell more. `SQUIRE_BENCH_TURNS` is how often, `SQUIRE_BENCH_FOLDER` where.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.demos import one_task
from tests.support.figures import Figure, report

TURNS = int(os.environ.get("SQUIRE_BENCH_TURNS", "3"))
MOST_S = 20.0


def processor_s() -> float:
    """Return the processor seconds of the children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_demo(folder: Path) -> tuple[float, float]:
    """Run one demo; return its seconds and its processor seconds."""
    work = one_task(folder, agent="sleep 0.1; sort -o a.txt a.txt")
    command = [sys.executable, "-m", "squire_pipelines.cli", "demo", "--home", str(folder / "demo"), *work]
    began, used = time.monotonic(), processor_s()
    done = subprocess.run([*command, "--runner", "local"], capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        sys.exit(f"the demo ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.monotonic() - began, processor_s() - used


def main() -> int:
    """Measure and report."""
    seconds, processor = [], []
    for _ in range(TURNS):
        with tempfile.TemporaryDirectory(dir=os.environ.get("SQUIRE_BENCH_FOLDER")) as folder:
            whole_s, used_s = run_demo(Path(folder))
        seconds.append(whole_s)
        processor.append(used_s)
    return report(
        "demo",
        [
            Figure("squire demo --repo, a command of 0.1 s, median", statistics.median(seconds), "s", MOST_S),
            Figure("processor time of all its processes, median", statistics.median(processor), "s"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
