"""What the board costs over 100,000 tasks, as a process over loopback: `make bench-board`.

The time to the first byte of each page; the time from a line in an attempt's log to the same line in a stream; and the
processor time of the board while 50 people follow a log to which nothing is added.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import httpx

from squire_pipelines.domain.endings import Cause
from squire_pipelines.runtime.ports import free_port
from tests.support.cli import SampleData
from tests.support.figures import Figure, percentile, report
from tests.support.ledgers import new_sqlite_ledger
from tests.support.many_tasks import insert_tasks, task_rows

TASKS = int(os.environ.get("SQUIRE_BENCH_TASKS", "100000"))
REQUESTS = 40
WATCHERS = 50
WATCHED_S = 10.0
FACTS_LAST_S = 2.5
PATIENCE_S = 60.0
PAGES = {
    "home": "/",
    "list": "/tasks",
    "list by state and words": "/tasks?status=failed&text=parser",
    "list by priority": "/tasks?status=ready&order=priority",
    "spending": "/spending",
    "alerts": "/alerts",
}


def first_byte_ms(client: httpx.Client, path: str) -> float:
    """Return the milliseconds until the first byte of a page's body."""
    began = time.perf_counter()
    with client.stream("GET", path) as answer:
        pieces = answer.iter_raw()
        next(pieces)
        took = time.perf_counter() - began
        answer.raise_for_status()
        for _ in pieces:  # so that the connection can be used again
            pass
    return took * 1000


def line_to_stream_s(url: str, log: Path, stream: str) -> list[float]:
    """Return how long each of some lines takes from the log into a stream, in seconds."""
    times = []
    with httpx.stream("GET", f"{url}{stream}", timeout=PATIENCE_S) as answer:
        lines = answer.iter_lines()
        for number in range(10):
            with log.open("ab") as file:
                file.write(f"line {number}\n".encode())
            began = time.perf_counter()
            while f"line {number}" not in next(lines):
                pass
            times.append(time.perf_counter() - began)
    return times


def watched_share(url: str, log: Path, stream: str, pid: int) -> float:
    """Return the share of a core that the board takes while many follow a log, in percent."""
    ready = threading.Barrier(WATCHERS + 1)
    over = threading.Event()
    reached: list[bool] = []

    def watch() -> None:
        with httpx.stream("GET", f"{url}{stream}", timeout=PATIENCE_S) as answer:
            lines = answer.iter_lines()
            next(lines)
            ready.wait(PATIENCE_S)
            over.wait(PATIENCE_S)
            while "the last line" not in next(lines):
                pass
            reached.append(True)

    threads = [threading.Thread(target=watch) for _ in range(WATCHERS)]
    for thread in threads:
        thread.start()
    ready.wait(PATIENCE_S)
    before, began = processor_s(pid), time.monotonic()
    time.sleep(WATCHED_S)
    share = 100 * (processor_s(pid) - before) / (time.monotonic() - began)
    over.set()
    with log.open("ab") as file:
        file.write(b"the last line\n")
    for thread in threads:
        thread.join(PATIENCE_S)
    if len(reached) != WATCHERS:
        raise SystemExit("not every watcher has seen the last line")
    return share


def processor_s(pid: int) -> float:
    """Return the processor time of a process's threads in seconds, by the scheduler: bursts are shorter than ticks."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / 1e9


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as folder:
        home, port = Path(folder), free_port()
        ledger = new_sqlite_ledger(home / "ledger.sqlite")
        samples = SampleData(ledger)
        ended, running = samples.ended(Cause.TIMEOUT), samples.running()
        rows = list(task_rows(TASKS))
        for start in range(0, len(rows), 5000):
            insert_tasks(ledger, rows[start : start + 5000])
        ledger.close()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SQUIRE_")}
        environment = {**kept, "SQUIRE_HOME": str(home), "SQUIRE_BOARD__PORT": str(port)}
        environment["SQUIRE_BOARD__REQUESTS_PER_MINUTE"] = "100000"
        log = home / "attempts" / running.id / "agent.log"
        log.parent.mkdir(parents=True)
        log.write_bytes(b"begun\n")
        command = [sys.executable, "-m", "squire_pipelines.board"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as board:
            try:
                if board.stdout is None or not board.stdout.readline():
                    raise SystemExit("the board has not started")
                url, stream = f"http://127.0.0.1:{port}", f"/tasks/{running.task_id}/attempts/1/events"
                figures = []
                with httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
                    for name, path in {**PAGES, "task": f"/tasks/{ended}"}.items():
                        first_byte_ms(client, path)
                        times = [first_byte_ms(client, path) for _ in range(REQUESTS)]
                        figures.append(
                            Figure(f"first byte of {name}, p95 of {REQUESTS}", percentile(times, 0.95), "ms", 150)
                        )
                    anew = []
                    for _ in range(5):
                        time.sleep(FACTS_LAST_S)
                        anew.append(first_byte_ms(client, "/"))
                    figures.append(Figure("first byte of home, facts gathered anew, most of 5", max(anew), "ms"))
                whole = f"{stream}?from=0"
                times = line_to_stream_s(url, log, whole)
                figures.append(Figure("log line to stream, most of 10", max(times), "s", 1))
                share = watched_share(url, log, whole, board.pid)
                figures.append(Figure(f"a core for {WATCHERS} watchers", share, "%", 15))
            finally:
                board.terminate()
    return report("board", figures)


if __name__ == "__main__":
    raise SystemExit(main())
