"""Real readings of repositories on the forge, beside what the simulation says they cost: `make bench-simulate`.

`squire signals collect` reads 10 and 200 repositories (`SQUIRE_BENCH_REPOSITORIES`) that it has never seen, and looks
at them again when nothing has changed. Points and requests are those that the forge has counted, rows and bytes the
ledger's, and the processor's time that of the command with all its children.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import func, select

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.scale_model import CollectionCost, cost_of_collection
from squire_forge.process import ForgeProcess
from squire_forge.samples import build_samples
from squire_pipelines.ledger import tables
from squire_pipelines.ledger.store import Ledger
from tests.support.figures import Figure, report

SIZES = tuple(map(int, os.environ.get("SQUIRE_BENCH_REPOSITORIES", "10,200").split(",")))
TOLERANCE = {"points": 0.02, "requests": 0.1, "rows": 0.02, "bytes": 0.25, "cpu_s": 0.6}
"""How far what was measured may be from the simulation's figure, as a share of it. The processor is shared."""

OWNER = "acme"
TIMEOUT_S = 900


@dataclass(frozen=True, slots=True)
class Meter:
    """What has been used so far."""

    points: int
    requests: int
    rows: int
    bytes: int
    cpu_s: float


def write_home(home: Path, forge: ForgeProcess, names: list[str]) -> dict[str, str]:
    """Write the settings of a home; return the environment of its commands."""
    home.mkdir()
    (home / "config.toml").write_text(
        f'repositories = {json.dumps(names)}\n[github]\napi_url = "http://127.0.0.1:{forge.port}/api/v3"\n'
        '[planner]\nkind = "rules"\n[agent]\nkind = "command"\nrunner = "local"\ncommand = ["true"]\n',
        encoding="utf-8",
    )
    return {**os.environ, "SQUIRE_HOME": str(home), "SQUIRE_GITHUB_TOKEN": forge.token}


def read_meter(home: Path, forge: ForgeProcess) -> Meter:
    """Read what has been used."""
    headers = {"Authorization": f"Bearer {forge.token}"}
    answer = httpx.get(f"{forge.api_url}/rate_limit", headers=headers, timeout=30).json()["resources"]
    file = home / "ledger.sqlite"
    rows = size = 0
    if file.exists():
        with closing(Ledger(f"sqlite:///{file}")) as ledger, ledger.write() as tx:
            counted = (tables.collections, tables.signals, tables.signal_events, tables.signal_episodes)
            rows = sum(tx.execute(select(func.count()).select_from(table)).scalar_one() for table in counted)
        size = sum(path.stat().st_size for path in (file, file.with_name("ledger.sqlite-wal")) if path.exists())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    points, requests = (answer[name]["limit"] - answer[name]["remaining"] for name in ("graphql", "core"))
    return Meter(points, requests, rows, size, used.ru_utime + used.ru_stime)


def collect(environment: dict[str, str]) -> None:
    """Read all repositories of the home."""
    command = [sys.executable, "-m", "squire_pipelines.cli", "signals", "collect", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode not in {0, 6}:
        raise RuntimeError(done.stderr[-2000:])


def measure(folder: Path, count: int) -> list[Figure]:
    """Read `count` repositories twice, and compare."""
    samples = build_samples(folder / "samples")
    names = [f"{OWNER}/r-{number:04}" for number in range(count)]
    with ForgeProcess.start(folder / "forge", rate_limit=1_000_000, merge_prefix=None) as forge:
        for number, name in enumerate(names):
            hosting = dict(samples[number % len(samples)].hosting())
            owner, _, short = name.partition("/")
            forge.host_repository({**hosting, "owner": owner, "name": short})
        environment = write_home(folder / "home", forge, names)
        with closing(Ledger(f"sqlite:///{folder / 'home' / 'ledger.sqlite'}")) as ledger:
            ledger.ensure_schema()  # an empty ledger takes 0.9 MB
        meters = [read_meter(folder / "home", forge)]
        for _ in range(2):
            collect(environment)
            meters.append(read_meter(folder / "home", forge))
    with closing(Ledger(f"sqlite:///{folder / 'home' / 'ledger.sqlite'}")) as ledger, ledger.read() as tx:
        signals = int(tx.execute(select(func.count()).select_from(tables.signals)).scalar_one())
    figures = []
    for title, (first, second), cost in (
        (
            "first reading",
            (meters[0], meters[1]),
            cost_of_collection(count, first_read=count, new_signals=signals, first_unchanged=0),
        ),
        (
            "nothing changed",
            (meters[1], meters[2]),
            cost_of_collection(count, first_read=0, new_signals=0, first_unchanged=count),
        ),
    ):
        figures += compare(f"{count} repositories, {title}", first, second, cost)
    return figures


def compare(title: str, before: Meter, after: Meter, cost: CollectionCost) -> list[Figure]:
    """Return what was measured, what the simulation says, and how far they are apart."""
    figures = []
    for name, tolerance in TOLERANCE.items():
        measured, simulated = getattr(after, name) - getattr(before, name), getattr(cost, name)
        figures.append(Figure(f"{title}: {name}, measured", measured, ""))
        figures.append(Figure(f"{title}: {name}, simulated", simulated, ""))
        if name != "bytes" or simulated > 2**20:  # a file grows by whole pages
            figures.append(
                Figure(f"{title}: {name}, apart", abs(measured - simulated) / max(simulated, 1), "x", tolerance)
            )
    return figures


def main() -> int:
    """Measure and report."""
    figures = []
    for count in SIZES:
        with tempfile.TemporaryDirectory(prefix="squire-simulate-", dir=os.environ.get("SQUIRE_BENCH_FOLDER")) as name:
            figures += measure(Path(name), count)
    return report("simulate-check", figures)


if __name__ == "__main__":
    sys.exit(main())
