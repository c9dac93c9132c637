"""Processes that load a ledger: for the benchmark, the soak tests and their short versions.

Plain functions at module level, so that they can be sent to other processes. A writer acknowledges a change by one
line in a pipe, after its commit.
"""

import multiprocessing
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import LeaseLostError, StateConflictError
from squire_pipelines.ledger import attempts, bulk, tasks
from squire_pipelines.ledger.backup import make_backup
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts as attempt_table
from squire_pipelines.ledger.tables import task_events
from squire_pipelines.ledger.transitions import change_task
from tests.support.ledgers import TRACE, decide

WAIT_S = 120
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["__main__", "tests.support.ledger_load", "psycopg"])


@dataclass(frozen=True)
class LoadedTask:
    """A task by its id alone: reading its row is no part of what is measured."""

    id: str
    trace_id: str = TRACE


@dataclass(slots=True)
class Load:
    """What one writer did: changes, and how long each waited for its turn, in seconds."""

    changes: int = 0
    waits_s: list[float] = field(default_factory=list)


def together(work: Callable[..., Any], calls: Sequence[tuple[Any, ...]], *, wait_s: float = WAIT_S) -> list[Any]:
    """Run `work(*call, barrier)` in a process for each of `calls`, all beginning at once; their answers in order."""
    barrier = processes.Barrier(len(calls))
    with processes.Manager() as manager:
        answers = manager.dict()
        children = [
            processes.Process(target=_answer, args=(work, number, call, barrier, answers), daemon=True)
            for number, call in enumerate(calls)
        ]
        for child in children:
            child.start()
        for child in children:
            child.join(wait_s)
        failed = [child.exitcode for child in children if child.exitcode != 0]
        for child in children:
            child.kill()
        if failed:
            raise RuntimeError(f"processes ended with {failed}")
        return [answers[number] for number in range(len(calls))]


def _answer(work: Callable[..., Any], number: int, call: tuple[Any, ...], barrier: Any, answers: Any) -> None:
    answers[number] = work(*call, barrier)


# ── Transitions without pause ──────────────────────────────────────────────────────────────────────────────────────


def change_without_pause(url: str, ids: Sequence[str], seconds: float, barrier: Any) -> Load:
    """Cancel and retry tasks through the ledger, a transaction each."""
    ledger = Ledger(url)
    states = dict.fromkeys(ids, TaskStatus.READY)
    load = Load()
    with ledger.read():
        barrier.wait(WAIT_S)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        task_id = ids[load.changes % len(ids)]
        before = states[task_id]
        after = TaskStatus.CANCELLED if before is TaskStatus.READY else TaskStatus.READY
        gone = after is TaskStatus.CANCELLED
        asked = time.perf_counter()
        with ledger.write() as tx:
            load.waits_s.append(time.perf_counter() - asked)
            change_task(
                tx, LoadedTask(task_id), before, after, actor="load", reason="load",
                ended_at=tx.now if gone else None, cause="cancelled" if gone else None,
            )  # fmt: skip
        states[task_id] = after
        load.changes += 1
    ledger.close()
    return load


_UPDATE = "UPDATE tasks SET status = ?, ended_at = ?, cause = ?, updated_at = ? WHERE id = ? AND status = ?"
_INSERT = (
    "INSERT INTO task_events (task_id, attempt_id, subject, before, after, actor, reason, trace_id, at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def change_raw(path: str, ids: Sequence[str], seconds: float, barrier: Any) -> Load:
    """The same two writes by `sqlite3` alone, which waits its own way."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    states = dict.fromkeys(ids, "ready")
    load = Load()
    barrier.wait(WAIT_S)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        task_id = ids[load.changes % len(ids)]
        before = states[task_id]
        after = "cancelled" if before == "ready" else "ready"
        gone = after == "cancelled"
        asked = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        load.waits_s.append(time.perf_counter() - asked)
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        ended = (now, "cancelled") if gone else (None, None)
        connection.execute(_UPDATE, (after, *ended, now, task_id, before))
        connection.execute(_INSERT, (task_id, None, "task", before, after, "load", "load", TRACE, now))
        connection.execute("COMMIT")
        states[task_id] = after
        load.changes += 1
    connection.close()
    return load


# ── Claims that compete ────────────────────────────────────────────────────────────────────────────────────────────


def claim_each(url: str, run_id: str, ids: Sequence[str], barrier: Any) -> list[str]:
    """Try to claim every attempt, in an order of one's own; those that one got."""
    ledger = Ledger(url)
    order = list(ids)
    random.Random(run_id).shuffle(order)  # noqa: S311 - an order
    barrier.wait(WAIT_S)
    started = []
    for start in range(0, len(order), 500):
        with ledger.read() as tx:  # as a claimer does that looks first what there is
            query = select(attempt_table.c.id).where(
                attempt_table.c.id.in_(order[start : start + 500]), attempt_table.c.status == "queued"
            )
            there = set(tx.execute(query).scalars())
        for attempt_id in order[start : start + 500]:
            if attempt_id not in there:
                continue
            try:
                with ledger.write() as tx:
                    attempts.claim(tx, attempt_id, run_id=run_id, lease_s=600)
            except (StateConflictError, LeaseLostError):
                continue
            started.append(attempt_id)
    ledger.close()
    return started


# ── Writers that are killed ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Killing:
    """What came of killing writers: `lost` and `doubled` are what must be empty."""

    kills: int = 0
    acknowledged: Counter[str] = field(default_factory=Counter)
    checks: int = 0
    problems: list[str] = field(default_factory=list)


def _write_until_killed(ledger: Ledger, task_id: str, name: str, pipe: int) -> None:
    number = 0
    while True:
        with ledger.write() as tx:
            mark = f"{name}-{number}"
            if tasks.get(tx, task_id).status.is_final:
                decide(tx, task_id, bulk.retry(1), actor=mark)
            else:
                tasks.cancel(tx, task_id, actor=mark)
        os.write(pipe, f"{mark}\n".encode())
        number += 1


class Writers:
    """Writers forked off this process, one for each task, each killed at a random moment and followed by another.

    The process that forks has the ledger's code loaded and no connection open, so that a writer costs a fork and an
    open, not an import. At most one line of a killed writer's pipe can be half there, and does not count.
    """

    def __init__(self, path: Path, task_ids: Sequence[str], seed: int) -> None:
        self.path = path
        self.task_ids = list(task_ids)
        self.chance = random.Random(seed)  # noqa: S311 - a sequence that can be repeated
        self.result = Killing()
        self._born = 0

    def _start(self, task_id: str) -> tuple[int, int]:
        self._born += 1
        ours, sender = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(ours)
                _write_until_killed(Ledger(f"sqlite:///{self.path}"), task_id, f"w{self._born}", sender)
            finally:
                os._exit(1)
        os.close(sender)
        return pid, ours

    def kill(self, kills: int, *, longest_s: float = 0.04, check_every: int = 500) -> Killing:
        """Kill `kills` writers; those that are left are killed too, in the end."""
        running = {task_id: self._start(task_id) for task_id in self.task_ids}
        try:
            for number in range(1, kills + 1):
                time.sleep(self.chance.uniform(0, longest_s / len(running)))
                task_id = self.chance.choice(self.task_ids)
                self._end(*running.pop(task_id))
                running[task_id] = self._start(task_id)
                if number % check_every == 0:
                    self._check()
        finally:
            for pid, pipe in running.values():
                self._end(pid, pipe)
        self._check()
        self._compare()
        return self.result

    def _end(self, pid: int, pipe: int) -> None:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            self.result.problems.append("a writer ended by itself")
        output = b""
        while chunk := os.read(pipe, 65536):
            output += chunk
        os.close(pipe)
        self.result.acknowledged.update(line.decode() for line in output.split(b"\n")[:-1])
        self.result.kills += 1

    def _check(self) -> None:
        connection = sqlite3.connect(self.path, timeout=30)
        integrity = connection.execute("PRAGMA integrity_check").fetchall()
        connection.close()
        self.result.checks += 1
        if integrity != [("ok",)]:
            self.result.problems.append(f"integrity: {integrity[:3]}")

    def _compare(self) -> None:
        ledger = Ledger(f"sqlite:///{self.path}")
        with ledger.read() as tx:
            stored = Counter(tx.execute(select(task_events.c.actor).where(task_events.c.actor.like("w%"))).scalars())
        ledger.close()
        lost = set(self.result.acknowledged) - set(stored)
        doubled = [mark for mark, count in stored.items() if count > 1]
        self.result.problems += [f"lost: {mark}" for mark in sorted(lost)] + [f"doubled: {mark}" for mark in doubled]


def kill_writers(path: Path, task_ids: Sequence[str], kills: int, seed: int, barrier: Any) -> Killing:
    """Kill writers, as `Writers` does, from this process."""
    barrier.wait(WAIT_S)
    return Writers(path, task_ids, seed).kill(kills)


# ── Backups ────────────────────────────────────────────────────────────────────────────────────────────────────────


def any_of(work: Callable[..., Any], call: tuple[Any, ...], barrier: Any) -> Any:
    """Different work in different processes."""
    return work(*call, barrier)


def back_up(url: str, target: Path, barrier: Any) -> float:
    """Make a backup; the seconds that it took."""
    ledger = Ledger(url)
    barrier.wait(WAIT_S)
    began = time.perf_counter()
    make_backup(ledger, target)
    taken = time.perf_counter() - began
    ledger.close()
    return taken
