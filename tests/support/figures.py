"""What every benchmark shares: named figures with a target, a table, and `build/bench/NAME.json`."""

import json
import platform
import subprocess
import sys
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


def _commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False
    )
    return asked.stdout.strip()


def report(name: str, figures: list[Figure]) -> int:
    """Print the table, write the file; returns the exit code: 1 when a figure falls short."""
    target = ROOT / "build" / "bench"
    target.mkdir(parents=True, exist_ok=True)
    rows = [{**asdict(figure), "ok": figure.ok} for figure in figures]
    machine = f"{platform.machine()}, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    content = {"figures": rows, "machine": machine, "commit": _commit()}
    (target / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for figure in figures:
        bound = ">=" if figure.at_least else "<="
        wanted = f"{bound} {figure.target:g}" if figure.target is not None else ""
        mark = "ok" if figure.ok else "SHORT"
        print(f"{figure.name:<44} {figure.value:>10.3f} {figure.unit:<4} {wanted:<14} {mark}")  # noqa: T201 - its output
    return 0 if all(figure.ok for figure in figures) else 1


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    sys.exit("a module for benchmarks, not one itself")
