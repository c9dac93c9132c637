"""What is killed, paused and restarted while workers work: every kind of process that many machines have.

Nothing here waits for a recovery: whoever disturbs again a second later meets a system that recovers.
"""

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from squire_pipelines.agents import profile
from tests.support.brokers import RedisServer
from tests.support.deliveries import ReceiverProcess, headers, push
from tests.support.ledgers import PostgresServer
from tests.support.worker_machines import LOST_AFTER_S, Machines

_KINDS = {
    "worker": 3,
    "run": 5,
    "machine": 2,
    "pause": 2,
    "drain": 1,
    "broker": 4,
    "daemon": 2,
    "steward": 1,
    "receiver": 4,
    "postgres": 4,
    "container": 4,
}
"""How often each comes, compared with the others."""

_DRAIN_S = 60.0
_DELIVERY_EVERY_S = 0.2
_DAEMON = "dagster-daemon"


class DeliveredLoad:
    """Deliveries that are sent to the receiver all the time; `acknowledged` are the ids of those that it took.

    Args:
        home: The receiver's.
        environment: Of its process, besides.
    """

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        home.mkdir(mode=0o700)
        self._home, self._environment = home, environment
        self.acknowledged: set[str] = set()
        self._receiver = ReceiverProcess.start(home, **environment)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._send, name="deliveries")
        self._thread.start()

    def restart(self) -> None:
        """Kill the receiver, and start another one."""
        self._receiver.end()
        self._receiver = ReceiverProcess.start(self._home, **self._environment)

    def stop(self) -> None:
        """End both."""
        self._is_over.set()
        self._thread.join(60)
        self._receiver.end()

    def _send(self) -> None:
        number = 0
        while not self._is_over.wait(_DELIVERY_EVERY_S):
            number += 1
            delivery, body = f"k-{number}", push(number=number)
            with suppress(httpx.TransportError):
                url = f"{self._receiver.url}/webhooks/github"
                if httpx.post(url, content=body, headers=headers(body, delivery=delivery), timeout=20).is_success:
                    self.acknowledged.add(delivery)


@dataclass
class Faults:
    """Disturbs, at most one thing at each call.

    Args:
        machines: Whose processes.
        workers: The names of those that are workers.
        in_containers: The worker whose agents run in containers; None for none.
        broker: The runs' way.
        postgres: The ledger's server.
        load: With the receiver.
        chance: Which comes when.
        engine: Of the containers.
        attempt_ids: Returns those of the tasks' attempts.
    """

    machines: Machines
    workers: Sequence[str]
    in_containers: str | None
    broker: RedisServer
    postgres: PostgresServer
    load: DeliveredLoad
    chance: random.Random
    engine: Any = None
    attempt_ids: Callable[[], frozenset[str]] = frozenset
    done: Counter[str] = field(default_factory=Counter)
    _restore: dict[str, tuple[float, Callable[[], bool]]] = field(default_factory=dict)

    def disturb(self) -> str:
        """Kill or pause something, start it again where nobody else does, and return what it was."""
        self._restore_due()
        kinds = [kind for kind in _KINDS if kind != "container" or self.in_containers]
        (kind,) = self.chance.choices(kinds, [_KINDS[name] for name in kinds])
        worker = self.chance.choice([name for name in self.workers if name not in self._restore])
        subject = self._act(kind, worker)
        self.done[kind] += 1
        return subject

    def restore_all(self) -> None:
        """Let go on what is paused, and start what drains."""
        while self._restore:
            self._restore_due()
            time.sleep(0.2)

    def _act(self, kind: str, worker: str) -> str:
        if kind == "worker":
            self.machines.signal(worker, signal.SIGKILL)  # its runs end with it
            self._start(worker)
        elif kind == "machine":
            self.machines.signal_all(worker, signal.SIGKILL)
            self._start(worker)
        elif kind == "run":
            return f"run of {worker} {self._kill_runs(worker, 1)}"
        elif kind == "pause":
            self._pause(worker)
        elif kind == "drain":
            self._drain(worker)
        elif kind == "container":
            return f"container {self._kill_container()}"
        else:
            self._disturb_shared(kind)
            return kind
        return f"{kind} {worker}"

    def _disturb_shared(self, kind: str) -> None:
        if kind == "broker":
            self.broker.kill()
            time.sleep(self.chance.uniform(0, 2))
            self.broker.launch()
        elif kind == "postgres":
            self.postgres.crash()
            time.sleep(self.chance.uniform(0, 1))
            self.postgres.start_again()
        elif kind == "receiver":
            self.load.restart()
        elif kind == "daemon":
            for pid, command in self.machines.processes_of("steward").items():
                if _DAEMON in command:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)  # the steward starts another
        else:
            self.machines.signal_all("steward", signal.SIGKILL)
            self.machines.start("steward")

    def _start(self, worker: str) -> None:
        self.machines.start(worker, "--slots", "3")

    def _kill_runs(self, worker: str, most: int) -> int:
        pids = self.machines.runs_of(worker)[:most]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def _kill_container(self) -> str:
        """Kill the agents' containers of the one worker at the same moment as the runs that supervise them."""
        assert self.in_containers
        names = [container.id for container in self.containers()]
        if names:
            subprocess.run(["docker", "kill", *names], capture_output=True, check=False, timeout=60)
        return f"{len(names)}, runs {self._kill_runs(self.in_containers, 3)}"

    def containers(self) -> list[Any]:
        """The agents' containers of our attempts, on an engine that others use, too."""
        running = self.engine.containers.list(
            all=True, filters={"label": [f"{profile.LABEL_ROLE}={profile.ROLE_AGENT}"]}, ignore_removed=True
        )
        ours = self.attempt_ids()
        return [container for container in running if container.labels.get(profile.LABEL_ATTEMPT) in ours]

    def _pause(self, worker: str) -> None:
        self.machines.signal_all(worker, signal.SIGSTOP)

        def go_on() -> bool:
            self.machines.signal_all(worker, signal.SIGCONT)
            return True

        self._restore[worker] = (time.monotonic() + LOST_AFTER_S + 6, go_on)  # beyond its attempts' leases, too

    def _drain(self, worker: str) -> None:
        self.machines.signal(worker, signal.SIGTERM)
        until = time.monotonic() + _DRAIN_S

        def start() -> bool:
            if self.machines.processes[worker].poll() is None and time.monotonic() < until:
                return False
            self.machines.signal_all(worker, signal.SIGKILL)
            self._start(worker)
            return True

        self._restore[worker] = (time.monotonic(), start)

    def _restore_due(self) -> None:
        for worker, (at, restore) in list(self._restore.items()):
            if time.monotonic() >= at and restore():
                del self._restore[worker]
