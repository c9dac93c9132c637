"""Runs the whole demo in processes of its own, which a test may kill, and checks what it left behind."""

import hashlib
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.secrets.key_file import IN_MEMORY, KEY_VARIABLE
from squire_pipelines.warehouse.query import run_query
from tests.support.children import PATIENCE_S
from tests.support.leak_search import environment_of, processes_with
from tests.support.ledgers import rows_as_stored, rows_as_told_by_events
from tests.support.private_files import open_to_others
from tests.support.worker import git

POLL_S = 0.1
DEMO_TIMEOUT_S = 600
START_TIMEOUT_S = 300
TASKS_OF_SAMPLES = 3
FOLLOW_UPS = 2
INTERRUPTED = 130
PROCESSES = ("receiver", "code-server", "daemon")
_IN_WORKSPACE = re.compile(r"attempts/[^/]+/work-[^/]+/")


@dataclass
class RunningDemo:
    """A demo as a child process, in a home that outlives it."""

    home: Path
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query of the ledger's file, none as long as there is no file."""
        with suppress(sqlite3.OperationalError):
            uri = f"file:{self.home / 'ledger.sqlite'}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
                return connection.execute(sql).fetchall()
        return []

    def wait_for(self, event: str, sql: str) -> None:
        """Wait until the ledger answers `sql` with a row."""
        self.wait_until(event, lambda: bool(self.ask(sql)))

    def wait_until(self, event: str, happened: Callable[[], bool]) -> None:
        """Wait for an event, for a bounded time and as long as the demo lives."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not happened():
            assert self.process.poll() is None, f"the demo ended before {event}:\n{self.tail()}"
            assert time.monotonic() < deadline, f"no {event} in {START_TIMEOUT_S} s:\n{self.tail()}"
            time.sleep(POLL_S)

    def pid_of(self, name: str) -> int:
        """Return the id of a process that the demo has started, from its record."""
        return int(json.loads((self.home / "run" / f"{name}.pid").read_text(encoding="utf-8"))["pid"])

    def secrets(self) -> tuple[str, ...]:
        """Return the secrets of its forge and the key of its encrypted file, which are in memory as long as it runs."""
        key_file = Path(environment_of(self.pid_of("receiver"))[KEY_VARIABLE])
        files = (key_file, key_file.with_name("token"), key_file.with_name("webhook-secret"))
        return tuple(file.read_text(encoding="utf-8").split()[-1] for file in files)

    @property
    def forge_pid(self) -> int:
        return int((self.home / "forge" / "forge.lock").read_text(encoding="utf-8"))

    def says(self, text: str) -> int:
        """Return how often the demo has printed `text`."""
        return self.log.read_text(encoding="utf-8", errors="replace").count(text)

    def ends(self, code: int, *, within_s: float) -> None:
        """Wait for its end; if it does not end, its log shows where its threads are."""
        try:
            exit_code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(PATIENCE_S)
            self.kill_all()
            pytest.fail(f"the demo has not ended within {within_s} s:\n{self.tail()}")
        assert exit_code == code, self.tail()

    def ends_well(self) -> None:
        self.ends(0, within_s=DEMO_TIMEOUT_S + 60)

    def tail(self) -> str:
        parts = [self.log.read_text(errors="replace")[-6000:]]
        for name in ("daemon", "code-server"):
            log = self.home / "run" / f"{name}.log"
            parts.append(f"--- {name}:\n{log.read_text(errors='replace')[-3000:] if log.exists() else ''}")
        return "\n".join(parts)

    def kill_all(self) -> None:
        """Kill everything at once, as a loss of power does: nothing can clean up."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        # A process that has not started yet has no record.
        with suppress(ProcessLookupError, FileNotFoundError, ValueError):
            os.killpg(self.forge_pid, signal.SIGKILL)
        for name in PROCESSES:
            with suppress(ProcessLookupError, FileNotFoundError, ValueError):
                os.killpg(self.pid_of(name), signal.SIGKILL)
        self.process.wait(PATIENCE_S)


StartDemo = Callable[..., RunningDemo]


@pytest.fixture
def start_demo(tmp_path: Path) -> Iterator[StartDemo]:
    """Return a function that starts the demo with the words that it is given, each time in the same home.

    `program` is the module that is `squire`, or takes its place.
    """
    home, log = tmp_path / "demo", tmp_path / "demo.log"
    started: list[RunningDemo] = []

    def start(*words: str, program: str = "squire_pipelines.cli") -> RunningDemo:
        command = [sys.executable, "-m", program, "demo", "--home", str(home), "--runner", "local"]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*command, "--timeout", str(DEMO_TIMEOUT_S), *words],
                env={**os.environ, "PYTHONFAULTHANDLER": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                umask=0,  # what is private is so by Squire's own doing
            )
        started.append(RunningDemo(home, process, log))
        return started[-1]

    yield start
    for demo in started:
        if demo.process.poll() is None:
            demo.kill_all()


def one_task(tmp_path: Path, *, agent: str) -> tuple[str, ...]:
    """Return the words that have the demo do one task with this shell line, in a repository that is made for it."""
    own = tmp_path / "api"
    own.mkdir()
    git(own, "init", "--quiet", "--initial-branch=main")
    (own / "a.txt").write_text("b\na\n", encoding="utf-8")
    git(own, "add", "--all")
    git(own, "commit", "--quiet", "--message=first")
    return ("--repo", str(own), "--issue", "Sort the lines", "--command", agent)


def left_of(demo: RunningDemo) -> list[str]:
    """Return what an ended demo has left that should end with it: processes, sockets, and its folder in memory."""
    digest = hashlib.sha256(os.fsencode(demo.home)).hexdigest()[:16]
    left = [f"process {pid}: {command}" for pid, command in processes_with([str(demo.home)]).items()]
    left += [f"in memory: {folder}" for folder in IN_MEMORY.glob(f"squire-*-{digest}-*")]
    return left + [f"socket {path}" for path in demo.home.rglob("*") if path.is_socket()]


@contextmanager
def forge_of(home: Path) -> Iterator[dict[str, Any]]:
    """Yield the state that the demo's forge has kept."""
    with ForgeProcess.start(home / "forge") as forge:
        yield forge.state()


def check_what_it_left(
    demo: RunningDemo, tmp_path: Path, *, pull_requests: int = TASKS_OF_SAMPLES, follow_ups: int = FOLLOW_UPS
) -> None:
    """Check that each planned task has one merged pull request, all records agree, and nothing is open to others.

    Others may read what an attempt exchanges with its agent, and reach none of it: the attempt's folder is closed. So
    is the workspace of an agent that was killed, which lies there until the attempt's folder is removed.
    """
    exchanged = tuple(f"attempts/*/{folder}{below}" for folder in ("in", "out") for below in ("", "/*", "/evidence/*"))
    readable = open_to_others(demo.home, but=exchanged)
    unexpected = {name: mode for name, mode in readable.items() if not _IN_WORKSPACE.match(name)}
    assert unexpected == {}, unexpected
    assert stat.S_IMODE(demo.home.stat().st_mode) == 0o700
    ledger = Ledger(f"sqlite:///{demo.home / 'ledger.sqlite'}")
    try:
        assert rows_as_told_by_events(ledger) == rows_as_stored(ledger)
    finally:
        ledger.close()
    tasks = demo.ask("SELECT id, repository, branch, status, trace_id, fingerprint FROM tasks")
    assert len(tasks) == pull_requests + follow_ups
    assert len({(repository, mark) for _, repository, _, _, _, mark in tasks}) == len(tasks)
    assert {status for _, _, _, status, _, _ in tasks} == {"succeeded"}
    ended = demo.ask("SELECT task_id, cause, status FROM attempts")
    assert {status for _, _, status in ended} == {"ended"}
    completed = [task for task, cause, _ in ended if cause in {"completed", "no_changes"}]
    assert sorted(completed) == sorted(row[0] for row in tasks)
    outcomes = demo.ask("SELECT task_id, pr_number, state, head_sha FROM outcomes")
    assert {state for _, _, state, _ in outcomes} == {"merged"}
    numbers = {task: number for task, number, _, _ in outcomes}
    heads = {task: head for task, _, _, head in outcomes}
    with forge_of(demo.home) as state:
        pulls = {
            (repository["name"], pull["head"]): pull
            for repository in state["repositories"]
            for pull in repository["pull_requests"]
            if pull["head"].startswith("squire/")
        }
        everything = [
            pull["head"]
            for repository in state["repositories"]
            for pull in repository["pull_requests"]
            if pull["head"].startswith("squire/")
        ]
    assert len(everything) == pull_requests
    for task, repository, branch, _, trace_id, _ in (row for row in tasks if row[0] in numbers):
        pull = pulls[repository, branch]
        assert (pull["number"], pull["state"]) == (numbers[task], "merged")
        assert trace_id in pull["body"]
        clone = tmp_path / "clones" / repository
        clone.parent.mkdir(parents=True, exist_ok=True)
        git(tmp_path, "clone", "--quiet", str(demo.home / "forge" / "repositories" / f"{repository}.git"), str(clone))
        for commit in (heads[task], pull["merge_sha"]):
            git(clone, "merge-base", "--is-ancestor", commit, f"origin/{pull['base']}")
    published = run_query(demo.home / "warehouse.duckdb", "SELECT id, trace_id, status FROM tasks ORDER BY id")
    assert published.rows == tuple(sorted((task, trace_id, status) for task, _, _, status, trace_id, _ in tasks))
    merged = run_query(demo.home / "warehouse.duckdb", "SELECT count(*) FROM outcomes WHERE state = 'merged'")
    assert merged.rows == ((pull_requests,),)
