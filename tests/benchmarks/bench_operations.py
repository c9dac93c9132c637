"""Squire in operation, part by part: `make bench-operations`; `SQUIRE_BENCH_PARTS=load,observability` chooses.

`load`: tasks with an agent of two seconds through the real daemon, on a quiet machine and then beside four busy loops.
Nothing may be lost or fail for want of time, and as much has to be done as the processors leave: of the quiet machine's
throughput at least 0.8 times the share that the processors have among themselves and the loops (2 of 6, with two).
`SQUIRE_BENCH_TASKS` sets the number of tasks (60). What else the machine does meanwhile concerns both alike only if it
stays the same.

`year`: a home in which a year has passed (30 repositories, 300,000 deliveries, 30,000 attempts), with retention every
third day, against the same home after its first day, by turns. No command may take 1.5 times as long, and the home has
the size of the guide at the most. `SQUIRE_BENCH_DAYS` makes the year shorter, with as much on each day, and
`SQUIRE_BENCH_FOLDER` is where the homes are kept for the next time. It takes half an hour, and is no default part.

`observability`: changes of tasks by four processes and calls of a model through the gateway, by turns with metrics,
logs and traces and without. `SQUIRE_BENCH_ROUNDS` sets the number of turns (16), `SQUIRE_BENCH_SECONDS` their length.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from squire_pipelines.observability.processor_load import usable_processors
from tests.benchmarks.bench_metrics import readings_of
from tests.support.figures import Figure, by_turns, percentile, ratio, report
from tests.support.observed_load import model_calls, transitions
from tests.support.simulated_year import YearSize
from tests.support.steady_load import LoadRun, run_apart
from tests.support.year_home import make_homes
from tests.support.year_measures import MeasuredHome

PARTS = os.environ.get("SQUIRE_BENCH_PARTS", "load,observability").split(",")
TASKS = int(os.environ.get("SQUIRE_BENCH_TASKS", "60"))
ROUNDS = int(os.environ.get("SQUIRE_BENCH_ROUNDS", "16"))
SECONDS = float(os.environ.get("SQUIRE_BENCH_SECONDS", "3"))
CALLS = 300
LOOPS = 4
LEAST_OF_SHARE = 0.8
DAYS = int(os.environ.get("SQUIRE_BENCH_DAYS", "365"))
ATTEMPTS_PER_YEAR, DELIVERIES_PER_YEAR = 30_000, 300_000
YEAR_TURNS = 9
RETENTION_DAYS = 3
"""How often retention runs: each day by default, which makes a home of the same size take twice as long to make."""
MOST_OF_FIRST_DAY = 1.5
MOST_OF_YEAR_BYTES = 3 * 2**30
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


def year() -> list[Figure]:
    """Let a year pass in a home, and compare it with its first day."""
    size = YearSize(
        DAYS, ATTEMPTS_PER_YEAR * DAYS // 365, DELIVERIES_PER_YEAR * DAYS // 365, retention_days=RETENTION_DAYS
    )
    with tempfile.TemporaryDirectory() as folder:
        homes = make_homes(
            Path(os.environ.get("SQUIRE_BENCH_FOLDER", folder)),
            size,
            lambda line: print(line, file=sys.stderr, flush=True),
        )
        first, whole = (MeasuredHome(home, readings_of) for home in homes)
        figures = [
            Figure("home after the first day", first.size() / 2**20, "MiB"),
            Figure(f"home after {DAYS} days", whole.size() / 2**20, "MiB", MOST_OF_YEAR_BYTES / 2**20),
            *(
                Figure(f"of these, {name}", used / 2**20, "MiB")
                for name, used in sorted(whole.parts().items(), key=lambda part: -part[1])[:6]
            ),
        ]
        for name in ("transitions", "publication", "tasks_list", "metrics", "status"):
            times = by_turns({"first": getattr(first, name), "year": getattr(whole, name)}, YEAR_TURNS)
            figures += [
                Figure(f"{name}: first day", statistics.median(times["first"]) * 1000, "ms"),
                Figure(f"{name}: after {DAYS} days", statistics.median(times["year"]) * 1000, "ms"),
                Figure(f"{name}: year / first day", ratio(times["year"], times["first"]), "x", MOST_OF_FIRST_DAY),
            ]
        first.close()
        whole.close()
    return figures


def observability() -> list[Figure]:
    """Measure what metrics, logs and traces cost changes of the ledger and calls of models."""
    with tempfile.TemporaryDirectory() as folder:
        rates = transitions(Path(folder), ROUNDS, SECONDS)
    calls = model_calls(CALLS)
    added = statistics.median(on - off for on, off in zip(calls["on"], calls["off"], strict=True))
    return [
        Figure("ledger: transitions, watched", statistics.median(rates["on"]), "/s"),
        Figure("ledger: transitions, not watched", statistics.median(rates["off"]), "/s"),
        Figure("ledger: what watching costs transitions", 1 - ratio(rates["on"], rates["off"]), "x", 0.03),
        Figure("model call through the gateway, watched", statistics.median(calls["on"]) * 1000, "ms"),
        Figure("model call through the gateway, not watched", statistics.median(calls["off"]) * 1000, "ms"),
        Figure("model call: what watching adds", added * 1000, "ms", 1),
    ]


_PARTS: Mapping[str, Callable[[], list[Figure]]] = {"load": load, "observability": observability, "year": year}


def main() -> int:
    """Measure the parts and print the table; the exit code tells whether a figure fell short."""
    return report("operations", [figure for part in PARTS for figure in _PARTS[part]()])


if __name__ == "__main__":
    sys.exit(main())
