"""Warm containers on the real engine: taken by one attempt each, as confined as cold ones, and none left behind."""

import contextlib
import os
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import docker
import pytest

from squire_pipelines.agents import monotonic_mark, profile, reap, warm, worker_files
from squire_pipelines.agents.docker_runner import DockerRunner, EngineOptions
from squire_pipelines.agents.engine_kinds import create_container
from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.agents.warm import Slot, WarmProfile
from squire_pipelines.agents.warm_pool import MAX_MADE, PoolCounts, PoolTarget, WarmPool
from squire_pipelines.domain import canary
from squire_pipelines.domain.endings import Cause
from squire_pipelines.sections.agents import LimitSettings
from tests.support.attempts import Origin, StopAfterStart, go_on, make_origin, small_limits

pytestmark = pytest.mark.docker

CHANGE = "echo changed >> README.md"
_ASK = "import socket; s = socket.create_connection(('127.0.0.1', 8787)); print(s.recv(99).decode())"
ASK = f'python3 -c "{_ASK}"'
READY_S = 30.0


@dataclass
class PoolBench:
    """A pool, and attempts that may take from it."""

    client: docker.DockerClient
    origin: Origin
    home: Path
    seconds: float = 0.0
    gateway: bool = False
    limits: LimitSettings = field(default_factory=small_limits)

    def __post_init__(self) -> None:
        self.folder = self.home / "warm"
        self.pool = WarmPool(self.client, self.folder, self.home, clock=lambda: time.time() + self.seconds)
        self.runner = DockerRunner(self.client, options=EngineOptions(warm=self.folder))

    @property
    def shape(self) -> WarmProfile:
        image = str(self.client.images.get("squire-worker:latest").id)
        return WarmProfile(image, self.limits, (), self.gateway, worker_files.seccomp_profile())

    def targets(self, size: int, max_age_s: float = 3600) -> dict[str, PoolTarget]:
        return {self.shape.key: PoolTarget(self.shape, size, max_age_s)} if size else {}

    def fill(self, size: int = 1) -> list[Slot]:
        """As many waiting containers, each at the end of its pipe."""
        for _ in range(size):
            if self.pool.tend(self.targets(size)).waiting == size:
                break
        slots = [Slot(path) for path in (self.folder / self.shape.key).iterdir()]
        assert len(slots) == size
        for slot in slots:
            listens(slot)
        return slots

    def attempt(self, name: str, script: str = CHANGE, limits: LimitSettings | None = None) -> AttemptInputs:
        folder = self.home / name
        folder.mkdir()
        return self.origin.prepared(
            folder, command=("sh", "-c", script), limits=limits or self.limits, attempt_id=f"{self.home.name}-{name}"
        )

    def run(self, inputs: AttemptInputs, heartbeat: Callable[[], bool] = go_on, **more: Any) -> RunResult:
        return self.runner.run(inputs, heartbeat=heartbeat, **more)

    def containers(self) -> list[Any]:
        containers: list[Any] = self.client.containers.list(
            all=True, filters={"label": f"{warm.LABEL_HOME}={self.home}"}
        )
        return containers


def listens(slot: Slot) -> None:
    """Wait until the container reads its pipe; to open and close it is no order."""
    deadline = time.monotonic() + READY_S
    pause = threading.Event()
    while time.monotonic() < deadline:
        try:
            os.close(os.open(slot.order, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            pause.wait(0.02)
        else:
            return
    pytest.fail(f"the container of {slot.folder} does not wait for an order")


@pytest.fixture
def bench(client: docker.DockerClient, short_path: Path) -> Iterator[PoolBench]:
    made = PoolBench(client, make_origin(short_path), short_path)
    yield made
    for container in (
        client.containers.list(all=True, filters={"name": f"squire-{short_path.name}"}) + made.containers()
    ):
        container.remove(force=True)


@contextlib.contextmanager
def answering(place: Path, words: str) -> Iterator[Path]:
    """In the place of a gateway: a socket that tells everybody these words."""

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):  # the worker only looks whether anything listens
                self.wfile.write(f"{words}\n".encode())

    with socketserver.ThreadingUnixStreamServer(str(place), Answer) as server:
        place.chmod(0o777)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield place
        server.shutdown()


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_warm(run: RunResult) -> bool:
    return run.ending.evidence.facts.get("warm") is True


def confinement(client: docker.DockerClient, name: str) -> dict[str, Any]:
    """All that the engine keeps to, but for what lies where."""
    seen = client.api.inspect_container(name)
    host = {key: value for key, value in seen["HostConfig"].items() if key not in {"Mounts", "ContainerIDFile"}}
    mounts = {(mount["Destination"], mount["RW"]) for mount in seen["Mounts"]}
    return host | {"user": seen["Config"]["User"], "image": seen["Image"], "mounts": mounts}


def test_an_attempt_in_a_warm_container_ends_as_in_a_cold_one_and_is_as_confined(bench: PoolBench) -> None:
    seen: dict[bool, dict[str, Any]] = {}
    bench.fill()
    for use_warm in (True, False):
        inputs = bench.attempt(f"a{use_warm}-1", f"{CHANGE}; echo token=$DEPLOY_TOKEN; sleep 2")

        def look(inputs: AttemptInputs = inputs, use_warm: bool = use_warm) -> bool:  # noqa: FBT001 - bound here
            container = reap.find(bench.client, profile.container_name(inputs.unit))
            if container is not None and container.running:
                seen[use_warm] = confinement(bench.client, container.container_id)
                assert container.attempt_id == inputs.attempt_id
            return True

        run = bench.run(inputs, look)
        assert run.ending.cause is Cause.COMPLETED, run.ending
        assert is_warm(run) is use_warm
        assert ("warm_s" in run.timings, "create_s" in run.timings) == (True, not use_warm)
        assert run.bundle is not None
        assert bench.origin.file_after(run.bundle, inputs.branch, "README.md") == "# Sample\nchanged"
        assert f"token={canary.canary_for(inputs.attempt_id)}" in run.ending.evidence.log_tail
        assert reap.find(bench.client, profile.container_name(inputs.unit)) is None
    assert bench.containers() == []
    assert seen[True] == seen[False]


def test_nothing_of_a_task_is_in_a_container_that_waits_and_it_is_nobodys(bench: PoolBench) -> None:
    (slot,) = bench.fill()
    seen = bench.client.api.inspect_container(profile.warm_name(slot.name))
    assert canary.NAME not in str(seen["Config"]["Env"])
    assert set(seen["Config"]["Labels"]) >= {profile.LABEL_SLOT, warm.LABEL_HOME}
    assert profile.LABEL_ATTEMPT not in seen["Config"]["Labels"]
    assert [path.name for path in slot.inbox.iterdir()] == [warm.ORDER]
    assert reap.describe(seen).attempt_id == ""
    assert slot.name not in {container.slot for container in reap.list_containers(bench.client)}


def test_one_container_is_taken_by_one_of_many_attempts(bench: PoolBench) -> None:
    bench.fill(2)
    attempts = [bench.attempt(f"k{number}-1") for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        runs = list(threads.map(bench.run, attempts))
    assert [run.ending.cause for run in runs] == [Cause.COMPLETED] * 4
    assert sum(map(is_warm, runs)) == 2
    assert bench.containers() == []


def test_other_limits_than_the_pools_get_a_container_of_their_own(bench: PoolBench) -> None:
    bench.fill()
    run = bench.run(bench.attempt("k-1", limits=small_limits(pids=63)))
    assert (run.ending.cause, is_warm(run)) == (Cause.COMPLETED, False)
    assert len(bench.containers()) == 1


def test_while_it_is_debugged_an_attempt_gets_a_container_of_its_own_which_is_kept(bench: PoolBench) -> None:
    bench.fill()
    until_then = datetime.now(UTC) + timedelta(hours=1)
    bench.runner = DockerRunner(bench.client, options=EngineOptions(warm=bench.folder, keep_until=until_then))
    attempt = bench.attempt("k-1")
    run = bench.run(attempt)
    assert (run.ending.cause, is_warm(run)) == (Cause.COMPLETED, False)
    name = profile.container_name(attempt.attempt_id)
    kept = reap.find(bench.client, name)
    assert kept is not None
    assert kept.keep_until == until_then
    reap.remove(bench.client, name)


@pytest.mark.parametrize("harm", ["kill", "remove", "no pipe"])
def test_a_container_that_is_not_well_is_passed_over(bench: PoolBench, harm: str) -> None:
    (slot,) = bench.fill()
    container = bench.client.containers.get(profile.warm_name(slot.name))
    match harm:
        case "kill":
            container.kill()
        case "remove":
            container.remove(force=True)
        case _:
            slot.order.unlink()
    run = bench.run(bench.attempt("k-1"))
    assert (run.ending.cause, is_warm(run)) == (Cause.COMPLETED, False), run.ending
    assert bench.containers() == []


def test_cancelling_ends_and_removes_it(bench: PoolBench) -> None:
    bench.fill()
    inputs = bench.attempt("k-1", "echo here; sleep 60")
    run = bench.run(inputs, StopAfterStart(inputs.folder.log, "here"))
    assert (run.ending.cause, is_warm(run)) == (Cause.CANCELLED, True)
    assert bench.containers() == []


def test_an_attempt_whose_supervisor_died_before_the_order_begins_anew(bench: PoolBench) -> None:
    bench.fill()
    inputs = bench.attempt("k-1")
    taken = warm.take(bench.client, bench.folder, bench.shape, inputs, None)
    assert taken is not None
    assert not warm.has_order(taken.container, inputs.folder)
    run = bench.run(inputs)
    assert (run.ending.cause, is_warm(run)) == (Cause.COMPLETED, False), run.ending
    assert "adopted" not in run.ending.evidence.facts
    assert bench.containers() == []


def test_an_attempt_whose_supervisor_died_after_the_order_goes_on_in_its_container(bench: PoolBench) -> None:
    bench.fill()
    inputs = bench.attempt("k-1", f"echo first; sleep 3; {CHANGE}")
    taken = warm.take(bench.client, bench.folder, bench.shape, inputs, None)
    assert taken is not None
    assert taken.send_order()
    monotonic_mark.write(inputs.folder.started)
    assert inputs.attempt_id in {container.attempt_id for container in reap.list_containers(bench.client)}
    run = bench.run(inputs)
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert run.ending.evidence.facts["adopted"] is True
    assert "first" in run.ending.evidence.log_tail
    assert bench.containers() == []


def test_its_gateway_is_reached_at_the_usual_place(bench: PoolBench) -> None:
    bench.gateway = True
    bench.fill()
    with answering(bench.home / "g.sock", "well met") as place:
        run = bench.run(bench.attempt("k-1", ASK), gateway_socket=place)
    assert is_warm(run), run.ending
    assert "well met" in run.ending.evidence.log_tail
    assert bench.containers() == []


def test_an_agent_that_outlives_its_supervisor_is_answered_by_the_gateway_of_the_next_one(
    bench: PoolBench,
) -> None:
    bench.gateway = True
    bench.fill()
    inputs = bench.attempt("k-1", f"{ASK}; echo has asked; while [ -e /in/wait ]; do sleep 0.1; done; {ASK}; {CHANGE}")
    (inputs.folder.inbox / "wait").touch()
    with answering(bench.home / "g.sock", "well met") as place:
        taken = warm.take(bench.client, bench.folder, bench.shape, inputs, place)
        assert taken is not None
        assert taken.send_order()
        monotonic_mark.write(inputs.folder.started)
        until(lambda: b"has asked" in bench.client.api.logs(taken.container.container_id))
    place.unlink()
    # Nobody listens when it asks again: its connection waits.
    (taken.slot.inbox / "wait").unlink()
    with answering(place, "met again") as place:
        run = bench.run(inputs, gateway_socket=place)
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert run.ending.evidence.facts["adopted"] is True
    assert "well met" in run.ending.evidence.log_tail
    assert "met again" in run.ending.evidence.log_tail
    assert bench.containers() == []


def test_the_pool_is_filled_step_by_step_and_replaces_what_is_old_or_ended(bench: PoolBench) -> None:
    assert bench.pool.tend(bench.targets(3)) == PoolCounts(MAX_MADE, MAX_MADE, 0)
    assert bench.pool.tend(bench.targets(3)) == PoolCounts(3, 1, 0)
    assert bench.pool.tend(bench.targets(3)) == PoolCounts(3, 0, 0)
    names = {container.name for container in bench.containers()}
    bench.containers()[0].kill()
    assert bench.pool.tend(bench.targets(3), fill=False) == PoolCounts(2, 0, 1)
    assert bench.pool.tend(bench.targets(2)) == PoolCounts(2, 0, 0)
    bench.seconds = 3601
    assert bench.pool.tend(bench.targets(1)) == PoolCounts(1, 1, 2)
    assert not names & {container.name for container in bench.containers()}
    assert bench.pool.tend({}) == PoolCounts(0, 0, 1)
    assert bench.containers() == []
    assert list(bench.folder.iterdir()) == []


def test_what_is_left_of_a_container_or_of_a_folder_alone_is_cleared_away(bench: PoolBench) -> None:
    first, second = bench.fill(2)
    bench.client.api.remove_container(profile.warm_name(first.name), force=True)
    # As by an attempt that died before it gave the container its name: for all we know it is about to.
    assert second.moved_to(bench.home / "taken") is not None
    assert bench.pool.tend(bench.targets(2), fill=False) == PoolCounts(0, 0, 0)
    assert list(bench.folder.iterdir()) == []
    assert not bench.pool.is_empty
    bench.client.api.kill(profile.warm_name(second.name))
    assert bench.pool.tend(bench.targets(2), fill=False) == PoolCounts(0, 0, 1)
    assert bench.pool.is_empty
    assert bench.containers() == []


def test_tending_leaves_alone_what_an_attempt_has_taken(bench: PoolBench) -> None:
    bench.fill()
    inputs = bench.attempt("k-1")
    taken = warm.take(bench.client, bench.folder, bench.shape, inputs, None)
    assert taken is not None
    assert bench.pool.tend({}) == PoolCounts(0, 0, 0)
    container = reap.find(bench.client, profile.container_name(inputs.unit))
    assert container is not None
    assert container.running
    assert reap.remove(bench.client, container.name, attempt_id=inputs.attempt_id)


def test_a_container_that_gets_no_order_ends_by_itself(bench: PoolBench) -> None:
    slot = Slot(bench.folder / "k" / "0123456789abcdef")
    slot.make()
    container = create_container(bench.client, **bench.shape.create_arguments(slot, home=bench.home, wait_s=1))
    container.start()
    assert container.wait(timeout=30)["StatusCode"] == 128 + 14  # SIGALRM
