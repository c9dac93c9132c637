"""What importing our definitions costs beside importing Dagster: `make bench-imports`.

Every run is a process that imports both, and so is every step container. Measured is the processor time of the whole
process, by turns, with bytecode that both have written before, as after an installation; `-X importtime` then tells
which modules take it. `SQUIRE_BENCH_TURNS` is how often.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.figures import ROOT, Figure, by_turns, processor_seconds, ratio, report

TURNS = int(os.environ.get("SQUIRE_BENCH_TURNS", "15"))
MOST = 1.35
HEAVIEST = 10
FLOOR, OURS = "dagster", "squire_pipelines.definitions"
_BUILD_FLOOR = "import dagster; dagster.Definitions().get_repository_def()"
_BUILD_OURS = "from squire_pipelines.definitions import build_defs; build_defs().get_repository_def()"
_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \| +(\S+)")


def compare(floor: str, ours: str, environment: dict[str, str], turns: int) -> tuple[list[float], list[float]]:
    """Run both programs by turns, each in a process of its own; return the processor seconds of each turn."""
    values = by_turns(
        {
            program: partial(processor_seconds, [sys.executable, "-c", program], environment=environment)
            for program in (floor, ours)
        },
        turns,
    )
    return values[floor], values[ours]


def modules(name: str, environment: dict[str, str]) -> dict[str, float]:
    """Return the milliseconds of each module that importing `name` imports, without what it imports in its turn."""
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {name}"],
        env={**os.environ, **environment},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return {module: int(microseconds) / 1000 for microseconds, module in _LINE.findall(process.stderr)}


def print_modules(floor: dict[str, float], ours: dict[str, float]) -> None:
    """Print what the definitions import beyond Dagster: the heaviest modules of ours, and of other packages."""
    beyond = {name: taken for name, taken in ours.items() if name not in floor}
    own = {name: taken for name, taken in beyond.items() if name.partition(".")[0] == "squire_pipelines"}
    others: dict[str, float] = defaultdict(float)
    for name, taken in beyond.items():
        if name not in own:
            others[name.partition(".")[0]] += taken
    print(f"-X importtime: {FLOOR} {sum(floor.values()):.0f} ms in {len(floor)} modules,", end=" ")
    print(f"{OURS} {sum(ours.values()):.0f} ms in {len(ours)} modules")
    for title, taken_by in ((f"{len(own)} modules of ours", own), ("other packages", others)):
        print(f"  {title}, {sum(taken_by.values()):.0f} ms:")
        for name, taken in sorted(taken_by.items(), key=lambda item: -item[1])[:HEAVIEST]:
            print(f"  {taken:>8.1f} ms  {name}")


def main() -> int:
    """Measure, print and report."""
    with tempfile.TemporaryDirectory() as folder:
        # An empty home, so that nobody's own settings take part.
        written = {
            "SQUIRE_HOME": f"{folder}/home",
            "PYTHONPYCACHEPREFIX": f"{folder}/bytecode",
            "PYTHONDONTWRITEBYTECODE": "",
        }
        floor, ours = compare(f"import {FLOOR}", f"import {OURS}", written, TURNS)
        print_modules(modules(FLOOR, written), modules(OURS, written))
        # Where no bytecode is kept, each start compiles all of it.
        unwritten = {**written, "PYTHONPYCACHEPREFIX": f"{folder}/none", "PYTHONDONTWRITEBYTECODE": "1"}
        compiled = compare(f"import {FLOOR}", f"import {OURS}", unwritten, max(3, TURNS // 3))
        # Importing defines a function that builds the definitions, which each run calls.
        built = compare(_BUILD_FLOOR, _BUILD_OURS, written, max(3, TURNS // 3))
    return report(
        "imports",
        [
            Figure(f"import {FLOOR}, median", statistics.median(floor), "s"),
            Figure(f"import {OURS}, median", statistics.median(ours), "s"),
            Figure("the second as a multiple of the first", ratio(ours, floor), "x", MOST),
            Figure("the same without kept bytecode", ratio(compiled[1], compiled[0]), "x", MOST),
            Figure("the same, and building ours / empty definitions", ratio(built[1], built[0]), "x", MOST),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
