"""Compares the coverage that the tests have reached with its floors, and names the lines that are missing below one.

Reads COVERAGE_FILE and exits with 1 when a floor is not reached. A `coverage report` for each floor would parse our
modules again and again.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from coverage import Coverage

ROOT = Path(__file__).resolve().parents[1]
ALL = ("squire_pipelines/", "forge/squire_forge/")
_CRITICAL = ("agents", "gateway", "publishing", "webhooks", "ledger", "secrets")
FLOORS = (("all", 90.0, ALL), *((name, 95.0, (f"squire_pipelines/{name}/",)) for name in _CRITICAL))
"""Name, floor in per cent, and the folders that it is about."""


@dataclass(frozen=True, slots=True)
class MeasuredFile:
    """A module: its path from the root, how many statements it has and how many no test ran, and those as text."""

    path: str
    statements: int
    missing: int
    lines: str


def compare(files: Iterable[MeasuredFile]) -> tuple[list[str], list[str]]:
    """Return a line on each floor, and the lines that say what is missing below those that are not reached."""
    files = sorted(files, key=lambda file: file.path)
    reached: list[str] = []
    problems: list[str] = []
    for name, floor, folders in FLOORS:
        inside = [file for file in files if file.path.startswith(folders)]
        statements, missing = (sum(file.statements for file in inside), sum(file.missing for file in inside))
        total = 100 * (statements - missing) / statements if statements else 0.0
        reached.append(f"coverage of {name:<10} {total:5.1f} % (floor {floor:g})")
        if total < floor:
            problems += [f"{file.path}: no test runs {file.lines}" for file in inside if file.missing]
            problems.append(f"squire: error: coverage of {name} is below {floor:g} %")
    return reached, problems


def measured_files() -> Iterator[MeasuredFile]:
    """Yield the modules of COVERAGE_FILE, also those that nothing has imported."""
    coverage = Coverage()
    coverage.load()
    for path in coverage.get_data().measured_files():
        _, statements, _, missing, lines = coverage.analysis2(path)
        yield MeasuredFile(os.path.relpath(path, ROOT), len(statements), len(missing), lines)


def main() -> int:
    """Print the lines and return the exit code."""
    reached, problems = compare(measured_files())
    print("\n".join(reached))
    if problems:
        print("\n".join(problems), file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
