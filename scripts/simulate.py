"""Prints what a number of repositories costs and which part gives way first: `make simulate REPOSITORIES=1000`.

Writes build/bench/simulate.json. What it follows from: `scale_model`; what it means: docs/reference/scale.md.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.scale_model import MIB, UNITS, Activity, Simulation, gives_way_at, simulate, workers_needed

FILE = Path(__file__).resolve().parents[1] / "build" / "bench" / "simulate.json"
WORKER_MEMORY = 16 * 1024 * MIB
PROCESSORS = 2
MOST = 10_000_000
_GIB = 1024 * MIB


def lines_of(simulation: Simulation, activity: Activity) -> list[str]:
    """Return the table."""
    lines = [f"{simulation.repositories} repositories", "", "in a day"]
    lines += [f"  {name:<46} {amount:>16,.0f}" for name, amount in simulation.per_day.items()]
    lines += ["", "on disks"]
    lines += [f"  {name:<46} {size / _GIB:>12,.1f} GiB" for name, size in simulation.disk.items()]
    lines += ["", f"{'what may give way':<48} {'needed':>12} {'one has':>12} {'use':>8}  from so many repositories on"]
    for demand in sorted(simulation.demands, key=lambda one: -one.use):
        mark = "!" if demand.use > 1 else " "
        at = gives_way_at(demand.part, activity)
        lines.append(
            f"{mark} {demand.part:<46} {demand.amount:>12,.1f} {demand.has:>12,.0f} {demand.use:>7.0%}  {at:>12,}"
        )
    first = simulation.first_to_give_way
    workers = workers_needed(simulation, processors=PROCESSORS, memory_bytes=WORKER_MEMORY)
    lines += ["", f"{'gives way' if first.use > 1 else 'nearest to its bound'}: {first.part}; {first.remedy}"]
    lines.append(f"workers of {PROCESSORS} processors and {WORKER_MEMORY // _GIB} GiB: {workers}")
    return lines


def main() -> int:
    """Print the table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repositories", type=int, nargs="?", default=1000)
    defaults = Activity()
    for name in ("attempts", "deliveries", "changes", "open_pulls", "agent_minutes"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(defaults, name))
    options = parser.parse_args()
    if not 1 <= options.repositories <= MOST:
        parser.error(f"a number of repositories from 1 to {MOST} is asked for")
    activity_values = {name: value for name, value in vars(options).items() if name != "repositories"}
    activity = Activity(**activity_values)
    simulation = simulate(options.repositories, activity)
    sys.stdout.write("\n".join(lines_of(simulation, activity)) + "\n")
    FILE.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "repositories": simulation.repositories,
        "activity": asdict(activity),
        "demands": [{**asdict(demand), "use": demand.use} for demand in simulation.demands],
        "per_day": dict(simulation.per_day),
        "disk": dict(simulation.disk),
        "units": {name: asdict(unit) for name, unit in UNITS.items()},
    }
    FILE.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
