"""The receiver under load, and under 100,000 mutated requests: `make bench-webhooks`.

Load comes from a second process on loopback: 32 connections with a `pull_request` of 22 KB. Ours, on an empty ledger
and on one with a million tasks, is measured by turns with a bare Starlette endpoint that has the same HMAC and one raw
insert per request, and with the Node middleware of `@octokit/webhooks`, which stores nothing, where Node is there.

`SQUIRE_BENCH_SECONDS` is how long each round takes, `SQUIRE_BENCH_TASKS` how many tasks the large ledger has, and
`SQUIRE_BENCH_REQUESTS` how many mutated requests are made. `SQUIRE_BENCH_PARTS` names what is measured (`load`,
`mutated`), `SQUIRE_BENCH_LEDGER` a file in which the large ledger is kept.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support import bare_receiver, big_ledger
from tests.support.deliveries import SECRET, ReceiverProcess
from tests.support.figures import ROOT, Figure, percentile, report
from tests.support.mutated_requests import send_mutated, settings_variables
from tests.support.webhook_load import LoadResult, load, pull_request_body

SECONDS = float(os.environ.get("SQUIRE_BENCH_SECONDS", "5"))
TASKS = int(os.environ.get("SQUIRE_BENCH_TASKS", "1000000"))
REQUESTS = int(os.environ.get("SQUIRE_BENCH_REQUESTS", "100000"))
PARTS = os.environ.get("SQUIRE_BENCH_PARTS", "load,mutated").split(",")
ROUNDS = 5
CONNECTIONS = 32
PATH = "/webhooks/github"
OCTOKIT = "@octokit/webhooks@14.2.0"

MIN_OF_BARE = 0.85
MAX_P99_MS = 100.0
SAME_WITHIN = 0.10
MAX_GROWTH_MB = 50.0


def drain(stream: IO[str] | None) -> None:
    """Read what a process writes, so that its pipe is never full."""
    threading.Thread(target=lambda: [None for _ in stream or ()], daemon=True).start()


@contextmanager
def our_receiver(home: Path, **variables: str) -> Iterator[ReceiverProcess]:
    """Start our receiver on the ledger of a home."""
    home.mkdir(exist_ok=True)
    receiver = ReceiverProcess.start(home, **variables)
    drain(receiver.process.stderr)
    try:
        yield receiver
    finally:
        receiver.process.kill()
        receiver.process.wait()


@contextmanager
def other_receiver(*command: str) -> Iterator[str]:
    """Start a receiver that prints its port, and return its URL."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}{PATH}"
    finally:
        process.kill()
        process.wait()


def octokit_entry() -> Path | None:
    """Return the installed library of Node's, which is installed now if need be; None where that cannot be."""
    folder = ROOT / "build" / "octokit-webhooks"
    entry = folder / "node_modules/@octokit/webhooks/dist-bundle/index.js"
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None
    if not entry.exists():
        folder.mkdir(parents=True, exist_ok=True)
        options = ("--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
        command = ["npm", "install", "--prefix", str(folder), *options, OCTOKIT]
        subprocess.run(command, check=False, timeout=300, stdout=subprocess.DEVNULL)
    return entry if entry.exists() else None


def large_ledger(folder: Path) -> Path:
    """Return a ledger that has so many tasks; deliveries are added to it."""
    kept = os.environ.get("SQUIRE_BENCH_LEDGER")
    made = Path(kept) if kept else folder / "large.sqlite"
    if not made.exists():
        big_ledger.make(made, attempts=TASKS * 6 // 5, last=int(time.time()) - 86400)
    return made


@dataclass(slots=True)
class Turns:
    """What came of each receiver's turns."""

    results: dict[str, list[LoadResult]] = field(default_factory=dict)

    def rates(self, name: str) -> list[float]:
        """Return how many deliveries a second were accepted, by turn."""
        return [result.accepted_per_s for result in self.results[name]]

    def p99_ms(self, name: str) -> list[float]:
        """Return how long all but one in a hundred took, by turn."""
        return [percentile(result.waits_s, 0.99) * 1000 for result in self.results[name]]

    def ratio(self, name: str, other: str) -> float:
        """Return the median of the turns' ratios."""
        return statistics.median(one / two for one, two in zip(self.rates(name), self.rates(other), strict=True))

    @property
    def not_accepted(self) -> int:
        """How many requests of ours were answered with something else, or not at all."""
        ours = [result for name, results in self.results.items() if name.startswith("ours") for result in results]
        return sum(count for result in ours for status, count in result.statuses.items() if status != 202)


def measure_turns(urls: Mapping[str, str], body: Path) -> Turns:
    """Put load on each receiver, by turns; the first turn is left out."""
    turns = Turns({name: [] for name in urls})
    for number in range(ROUNDS + 1):
        for name in list(urls)[:: 1 if number % 2 else -1]:
            result = load(urls[name], SECRET, body, SECONDS, CONNECTIONS)
            if number:
                turns.results[name].append(result)
    return turns


def load_figures(folder: Path) -> list[Figure]:
    """Measure how many deliveries a second are durably accepted, and how long one takes."""
    body = folder / "body.json"
    body.write_bytes(pull_request_body("acme/shop"))
    made = large_ledger(folder)
    with ExitStack() as stack:
        small = stack.enter_context(our_receiver(folder / "small"))
        large = stack.enter_context(our_receiver(folder / "large", SQUIRE_LEDGER_URL=f"sqlite:///{made}"))
        script = [sys.executable, bare_receiver.__file__, str(folder / "bare.sqlite"), SECRET.decode()]
        bare = stack.enter_context(other_receiver(*script))
        urls = {"bare": bare, "ours": small.url + PATH, "ours, large": large.url + PATH}
        if (entry := octokit_entry()) is not None:
            program = str(Path(__file__).with_name("octokit_receiver.mjs"))
            urls["octokit"] = stack.enter_context(other_receiver("node", program, SECRET.decode(), str(entry)))
        else:
            print("@octokit/webhooks is left out: node or npm is not there, or it cannot be installed")
        turns = measure_turns(urls, body)
    title = f"{CONNECTIONS} connections, {body.stat().st_size / 1000:.0f} kB"
    figures = [
        Figure(f"{title}: deliveries accepted", statistics.median(turns.rates("ours")), "/s"),
        Figure(f"{title}: bare Starlette, HMAC, an insert each", statistics.median(turns.rates("bare")), "/s"),
        Figure(f"{title}: share of bare Starlette", turns.ratio("ours", "bare"), "x", MIN_OF_BARE, at_least=True),
        Figure(f"{title}: p99", statistics.median(turns.p99_ms("ours")), "ms", MAX_P99_MS),
        Figure(f"{title}: p99 of bare Starlette", statistics.median(turns.p99_ms("bare")), "ms"),
        Figure(f"with {TASKS} tasks: accepted", statistics.median(turns.rates("ours, large")), "/s"),
        Figure(
            f"with {TASKS} tasks: share of an empty ledger",
            turns.ratio("ours, large", "ours"),
            "x",
            1 - SAME_WITHIN,
            at_least=True,
        ),
        Figure("answers that were not 202", turns.not_accepted, "", 0),
    ]
    if "octokit" in urls:
        name = "@octokit/webhooks, which stores nothing"
        figures.append(Figure(name, statistics.median(turns.rates("octokit")), "/s"))
    return figures


def memory_mb(pid: int) -> float:
    """Return how much memory a process has, in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def mutated_figures(folder: Path) -> list[Figure]:
    """Make mutated requests, and count what must not be."""
    home = folder / "mutated"
    with our_receiver(home, **settings_variables()) as ours:
        warm_up = send_mutated(ours.url, REQUESTS // 20, seed=0)
        before = memory_mb(ours.pid)
        began = time.perf_counter()
        run = send_mutated(ours.url, REQUESTS)
        taken = time.perf_counter() - began
        growth = memory_mb(ours.pid) - before
    run.sent |= warm_up.sent
    wrong = run.check_ledger(home / "ledger.sqlite")
    for problem in (*run.problems, *wrong)[:20]:
        print(problem)
    by_status: dict[int, int] = {}
    for (_, status), count in run.statuses.items():
        by_status[status] = by_status.get(status, 0) + count
    print(f"answers by status, 0 for none: {dict(sorted(by_status.items()))}")
    return [
        Figure("mutated requests", sum(by_status.values()), ""),
        Figure("mutated: in", taken, "s"),
        Figure("mutated: 5xx, unsigned accepted, right refused", len(run.problems), "", 0),
        Figure("mutated: sent away as the receiver was busy (503)", run.overloads, ""),
        Figure("mutated: rows that are not one for each event", len(wrong), "", 0),
        Figure("mutated: events", len(run.acknowledged), ""),
        Figure("mutated: growth of memory", growth, "MB", MAX_GROWTH_MB),
    ]


def main() -> int:
    """Measure and report."""
    measures: dict[str, Callable[[Path], list[Figure]]] = {"load": load_figures, "mutated": mutated_figures}
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("SQUIRE_BENCH_FOLDER")) as name:
        for part in PARTS:
            figures += measures[part](Path(name))
    return report("webhooks", figures)


if __name__ == "__main__":
    sys.exit(main())
