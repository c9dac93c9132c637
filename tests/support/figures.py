"""What every benchmark shares: named figures with a target, a table, and `build/bench/NAME.json`.

A target is a count, a size or a ratio; only lists have one in milliseconds, since a person waits. Any other time is
compared with a floor that is measured in the same run, by turns (`by_turns`, `ratio`).
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `target` is the most that it may be (the least if `at_least`), None for none."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False

    @property
    def ok(self) -> bool:
        """Whether the figure meets its target."""
        if self.target is None:
            return True
        return self.value >= self.target if self.at_least else self.value <= self.target


def seconds(action: Callable[[], object]) -> float:
    """Return the wall seconds that `action` takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def processor_seconds(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> float:
    """Return the processor time, user and system, of a whole process and of those that it waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command, env={**os.environ, **(environment or {})}, cwd=ROOT, check=True, capture_output=True, timeout=120
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def by_turns(measures: Mapping[str, Callable[[], float]], turns: int) -> dict[str, list[float]]:
    """Call each of `measures` once in every turn, and return the values of each in the order of the turns.

    What else the machine does meanwhile then concerns all of them alike. The order changes from turn to turn, and a
    first turn, which may fill caches, is left out.
    """
    values: dict[str, list[float]] = {name: [] for name in measures}
    for turn in range(turns + 1):
        for name in list(measures)[:: 1 if turn % 2 else -1]:
            value = measures[name]()
            if turn:
                values[name].append(value)
    return values


def ratio(values: Sequence[float], floor: Sequence[float]) -> float:
    """Return how many times the floor the values are: the median of the turns' ratios."""
    return statistics.median(value / least for value, least in zip(values, floor, strict=True))


def report(name: str, figures: list[Figure]) -> int:
    """Print the table and write the file; return the exit code, which is 1 when a figure misses its target."""
    folder = ROOT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{**asdict(figure), "ok": figure.ok} for figure in figures]
    machine = f"{platform.machine()}, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    content = {"figures": rows, "machine": machine, "load": os.getloadavg()[0], "commit": _commit()}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for figure in figures:
        bound = ">=" if figure.at_least else "<="
        target = f"{bound} {figure.target:g}" if figure.target is not None else ""
        mark = "ok" if figure.ok else "MISSED"
        print(f"{figure.name:<56} {figure.value:>10.3f} {figure.unit:<4} {target:<14} {mark}")  # noqa: T201 - its output
    return 0 if all(figure.ok for figure in figures) else 1


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _commit() -> str:
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit("a module for benchmarks, not one itself")
