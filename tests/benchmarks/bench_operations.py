"""Squire in operation, part by part: `make bench-operations`; `SQUIRE_BENCH_PARTS=load` chooses.

`load`: tasks with an agent of two seconds through the real daemon, on a quiet machine and then beside four busy loops.
Nothing may be lost or fail for want of time, and as much has to be done as the processors leave: of the quiet machine's
throughput at least 0.8 times the share that the processors have among themselves and the loops (2 of 6, with two).
`SQUIRE_BENCH_TASKS` sets the number of tasks (60). What else the machine does meanwhile concerns both alike only if it
stays the same.
"""

import os
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from squire_pipelines.observability.processor_load import usable_processors
from tests.support.figures import Figure, percentile, report
from tests.support.steady_load import LoadRun, run_apart

PARTS = os.environ.get("SQUIRE_BENCH_PARTS", "load").split(",")
TASKS = int(os.environ.get("SQUIRE_BENCH_TASKS", "60"))
LOOPS = 4
LEAST_OF_SHARE = 0.8
FOR_WANT_OF_TIME = ("not_started", "lost", "timeout", "engine_lost", "killed", "github_unavailable")


def load() -> list[Figure]:
    """Measure the tasks' throughput on a quiet machine and beside busy loops."""
    quiet, loaded = run_apart(TASKS, 0), run_apart(TASKS, LOOPS)
    share = usable_processors() / (usable_processors() + LOOPS)
    done = loaded.succeeded_per_s / quiet.succeeded_per_s
    return [
        *_ends(quiet, "quiet"),
        *_ends(loaded, f"beside {LOOPS} busy loops"),
        Figure("throughput, loaded / (quiet x share of processors)", done / share, "x", LEAST_OF_SHARE, at_least=True),
        Figure("throughput, loaded / quiet", done, "x"),
    ]


def _ends(run: LoadRun, name: str) -> list[Figure]:
    for message in run.messages:
        print(f"{name}: {message}", file=sys.stderr)
    return [
        Figure(f"{name}: tasks that did not succeed", TASKS - run.ended.get("succeeded", 0), "", 0),
        Figure(f"{name}: attempts lost", run.causes.get("lost", 0), "", 0),
        Figure(f"{name}: attempts that want of time ended", sum(run.causes.get(c, 0) for c in FOR_WANT_OF_TIME), "", 0),
        Figure(f"{name}: tasks done", run.succeeded_per_s * 60, "/min"),
        Figure(f"{name}: dispatch to claim, median", statistics.median(run.launch_s), "s"),
        Figure(f"{name}: dispatch to claim, p95", percentile(run.launch_s, 0.95), "s"),
    ]


_PARTS: Mapping[str, Callable[[], list[Figure]]] = {"load": load}


def main() -> int:
    """Measure the parts and print the table; the exit code tells whether a figure fell short."""
    return report("operations", [figure for part in PARTS for figure in _PARTS[part]()])


if __name__ == "__main__":
    sys.exit(main())
