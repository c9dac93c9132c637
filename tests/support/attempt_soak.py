"""Attempts one after the other with faults at random, on an engine of its own and with a ledger: what must always hold.

The faults: exit codes, out of memory, time-outs, a kill from outside, a flood of output, a supervisor that is killed,
and an engine that is restarted or killed. `run_soak` raises AssertionError with the seed and the attempt when an
attempt has no cause or one that does not fit, when it ever has two containers, or when something is left behind.
"""

import contextlib
import gc
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import docker
import requests
from docker.errors import DockerException
from sqlalchemy import select

from squire_pipelines.agents import profile, reap
from squire_pipelines.agents.docker_runner import DockerRunner, EngineOptions
from squire_pipelines.agents.model import AttemptInputs
from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.ledger import attempts
from squire_pipelines.ledger.attempts import Attempt, RetryRule
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts as table
from tests.support.attempts import MIB, Origin, make_origin, small_limits
from tests.support.ledgers import add_task, claim, dispatch, sqlite_ledger_file, token_of
from tests.support.own_engine import OwnEngine

ROOT = Path(__file__).parents[2]
IMAGE = "squire-worker:latest"
RETRY = RetryRule(0.001, 0.001)
WORK = "echo at work; "


@dataclass(frozen=True)
class Fault:
    """One sort of attempt: its agent's script, what happens to it, and the causes that fit."""

    script: str
    causes: frozenset[Cause]
    weight: int
    limits: dict[str, float] = field(default_factory=dict)
    happens: str = ""


FAULTS = {
    "change": Fault(f"{WORK}echo x >> README.md", frozenset({Cause.COMPLETED}), 22),
    "nothing": Fault(f"{WORK}true", frozenset({Cause.NO_CHANGES}), 18),
    "exit": Fault(f"{WORK}exit $((RANDOM_CODE))", frozenset({Cause.AGENT_ERROR, Cause.AGENT_NOT_FOUND}), 24),
    "oom": Fault("exec python3 -c 'x = bytearray(10**9)'", frozenset({Cause.OUT_OF_MEMORY}), 8),
    "timeout": Fault(
        f"{WORK}trap '' TERM; sleep 60", frozenset({Cause.TIMEOUT}), 6, {"wall_clock_s": 1.5, "grace_s": 0.5}
    ),
    "flood": Fault("exec yes", frozenset({Cause.LOG_OVERFLOW}), 4, {"log": MIB}),
    "kill": Fault(f"{WORK}sleep 60", frozenset({Cause.KILLED}), 4, happens="kill"),
    "supervisor": Fault(f"{WORK}sleep 2; echo x >> README.md", frozenset({Cause.COMPLETED}), 8, happens="supervisor"),
    "restart": Fault(f"{WORK}sleep 60", frozenset({Cause.ENGINE_LOST, Cause.KILLED}), 3, happens="restart"),
    "engine killed": Fault(f"{WORK}sleep 60", frozenset({Cause.ENGINE_LOST, Cause.KILLED}), 3, happens="engine killed"),
}


@dataclass
class Soak:
    """An engine, a ledger, and a folder."""

    engine: OwnEngine
    ledger: Ledger
    origin: Origin
    folder: Path
    chance: random.Random
    counted: Counter[str] = field(default_factory=Counter)
    most: int = 0

    def attempt(self, number: int, name: str) -> None:
        fault = FAULTS[name]
        claimed = self._claimed()
        script = fault.script.replace("RANDOM_CODE", str(self.chance.randint(1, 119)))
        home = self.folder / claimed.id
        home.mkdir()
        inputs = self.origin.prepared(
            home, command=("sh", "-c", script), attempt_id=claimed.id, limits=small_limits(**fault.limits)
        )
        if fault.happens == "supervisor":
            self._supervisor_dies(inputs, script)
        ending = self._run(inputs, fault)
        with self.ledger.write() as tx:
            attempts.settle(tx, claimed.id, token_of(claimed), ending, retry=RETRY, actor="soak")
        self.counted[f"{name}: {ending.cause}"] += 1
        assert ending.cause in fault.causes, f"attempt {number} ({name}) ended as {ending}"
        self._remove_left_behind(claimed.id)

    def _claimed(self) -> Attempt:
        add_task(self.ledger, max_attempts=1)
        (queued,) = dispatch(self.ledger)
        return claim(self.ledger, queued.id, lease_s=3600)

    def _run(self, inputs: AttemptInputs, fault: Fault) -> Ending:
        client = self.engine.client(5)
        done = threading.Event()

        def beat() -> bool:
            self._count(client, inputs.attempt_id)
            if fault.happens and not done.is_set() and "at work" in inputs.folder.log.read_text("utf-8"):
                done.set()
                self._happen(fault.happens, client, inputs.attempt_id)
            return True

        try:
            runner = DockerRunner(client, options=EngineOptions(patience_s=60))
            return runner.run(inputs, heartbeat=beat).ending
        finally:
            client.close()

    def _happen(self, incident: str, client: docker.DockerClient, attempt_id: str) -> None:
        actions: dict[str, Callable[[], object]] = {
            "kill": lambda: client.api.kill(profile.container_name(attempt_id)),
            "restart": self.engine.restart,
            "engine killed": lambda: self.engine.restart(number=signal.SIGKILL),
        }
        if incident in actions:
            actions[incident]()

    def _count(self, client: docker.DockerClient, attempt_id: str) -> None:
        label = f"{profile.LABEL_ATTEMPT}={attempt_id}"
        with contextlib.suppress(DockerException, requests.RequestException):  # the engine may be away
            count = len(client.api.containers(all=True, filters={"label": label}))
            self.most = max(self.most, count)
            assert count <= 1, f"{attempt_id} has {count} containers"

    def _supervisor_dies(self, inputs: AttemptInputs, script: str) -> None:
        home = inputs.attempt_dir.parent
        (home / "origin.sha").write_text(self.origin.sha)
        for name in ("origin", "origin.bundle"):
            (home / name).symlink_to(self.folder / name)
        command = [sys.executable, "-m", "tests.support.supervisor_child", self.engine.host, str(home)]
        child = subprocess.Popen(
            [*command, inputs.attempt_id, script, json.dumps({})], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 90
        # At any moment, also before there is a container, or long after.
        wait = self.chance.choice(["log", "work", "time"])
        while time.monotonic() < deadline and child.poll() is None:
            text = inputs.folder.log.read_text("utf-8") if inputs.folder.log.exists() else None
            if (wait == "log" and text is not None) or (wait == "work" and text and "at work" in text):
                break
            if wait == "time" and self.chance.random() < 0.01:
                break
            time.sleep(0.02)
        child.kill()
        child.wait(10)

    def _remove_left_behind(self, attempt_id: str) -> None:
        """What the reaper does: a container that could not be removed while its engine was away."""
        client = self.engine.client()
        with self.ledger.read() as tx:
            over = attempts.ended_ids(tx, [attempt_id])
        for container in reap.list_containers(client):
            if container.attempt_id in over:
                reap.remove(client, container.name)
        client.close()

    def check(self, count: int) -> None:
        """What must hold at the end."""
        client = self.engine.client()
        orphans = [container.name for container in reap.list_containers(client)]
        client.close()
        assert orphans == []
        with self.ledger.read() as tx:
            rows = tx.execute(select(table)).all()
        assert len(rows) == count
        assert [row.id for row in rows if row.status != AttemptStatus.ENDED or row.cause is None] == []


def faults_at_random(count: int, seed: int) -> list[str]:
    """Return the names of faults, some of which come up more often than others."""
    chance = random.Random(seed)  # noqa: S311 - a sequence that can be repeated
    return chance.choices(list(FAULTS), [fault.weight for fault in FAULTS.values()], k=count)


def run_soak(folder: Path, names: Sequence[str], seed: int) -> Counter[str]:
    """Run an attempt with each of the faults, one after the other; return how often which fault ended how."""
    chance = random.Random(seed)  # noqa: S311 - a sequence that can be repeated
    count = len(names)
    origin = make_origin(folder)
    ledger = Ledger(f"sqlite:///{sqlite_ledger_file(folder / 'ledger.sqlite')}")
    try:
        with OwnEngine() as engine:
            engine.load(IMAGE)
            soak = Soak(engine, ledger, origin, folder, chance)
            for number, name in enumerate(names, 1):
                try:
                    soak.attempt(number, name)
                except AssertionError as error:
                    raise AssertionError(f"seed {seed}, attempt {number} of {count} ({name}): {error}") from error
                if number % 20 == 0:
                    gc.collect()
                    print(f"{number} of {count}: {dict(soak.counted)}", flush=True)  # noqa: T201 - a long run's progress
            soak.check(count)
            return soak.counted
    finally:
        ledger.close()
        gc.collect()
