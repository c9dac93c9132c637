"""What can happen to an attempt from outside, on a real engine: each fault has its ending, and nothing is left behind.

Faults of the engine itself happen to one of the test's own. `test_docker_runner` has what happens inside a container.
"""

import contextlib
import gc
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import docker
import pytest
import time_machine

from squire_pipelines.agents import preflight, profile, reap
from squire_pipelines.agents.docker_runner import DockerRunner, EngineOptions
from squire_pipelines.agents.logs import DEFAULT_OUTPUT, OutputOptions
from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.deadline import Deadline
from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import ConfigError, EngineError, ImageMissingError, LeaseLostError
from squire_pipelines.sections.agents import AgentSettings, LimitSettings
from tests.support.attempts import MIB, Origin, go_on, small_limits
from tests.support.own_engine import OwnEngine, why_not

pytestmark = [
    pytest.mark.docker,
    # A connection that breaks leaves docker-py's socket to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]
ROOT = Path(__file__).parents[3]
IMAGE = "squire-worker:latest"


class Once:
    """A heartbeat that does something once, when the log holds a mark."""

    def __init__(self, inputs: AttemptInputs, mark: str, action: Callable[[], object]) -> None:
        self._log = inputs.folder.log
        self._mark = mark
        self._action = action
        self.done = False

    def __call__(self) -> bool:
        if not self.done and self._mark in self._log.read_text("utf-8", errors="replace"):
            self.done = True
            self._action()
        return True


@dataclass
class Scene:
    """One attempt on one engine."""

    client: docker.DockerClient
    origin: Origin
    folder: Path
    attempt_id: str

    def prepare(self, script: str, **limits: float) -> AttemptInputs:
        return self.origin.prepared(
            self.folder, command=("sh", "-c", script), limits=small_limits(**limits), attempt_id=self.attempt_id
        )

    def run(
        self,
        inputs: AttemptInputs,
        heartbeat: Callable[[], bool] = go_on,
        *,
        output: OutputOptions = DEFAULT_OUTPUT,
        **options: object,
    ) -> RunResult:
        runner = DockerRunner(self.client, output=output, options=EngineOptions(**options))  # type: ignore[arg-type]  # options by name
        return runner.run(inputs, heartbeat=heartbeat)

    @property
    def name(self) -> str:
        return profile.container_name(self.attempt_id)

    @property
    def is_there(self) -> bool:
        return reap.find(self.client, self.name) is not None

    def log(self) -> str:
        return (self.folder / "attempt" / "agent.log").read_text("utf-8")

    def numbers(self) -> list[int]:
        return [int(line) for line in self.log().splitlines() if line.isdigit()]


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What docker-py leaves of broken connections goes here and not in another test."""
    yield
    gc.collect()


@pytest.fixture
def scene(client: docker.DockerClient, origin: Origin, tmp_path: Path, attempt_id: str) -> Scene:
    return Scene(client, origin, tmp_path, attempt_id)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_the_limits_are_on_the_container_and_swap_is_no_way_around_them(scene: Scene) -> None:
    seen: dict[str, object] = {}
    inputs = scene.prepare("echo ready; sleep 100")
    look = Once(inputs, "ready", lambda: seen.update(scene.client.api.inspect_container(scene.name)["HostConfig"]))

    def stop_after_look() -> bool:
        look()
        return not look.done

    assert scene.run(inputs, stop_after_look).ending.cause is Cause.CANCELLED
    limits = inputs.limits
    assert seen["Memory"] == seen["MemorySwap"] == limits.memory
    assert seen["NanoCpus"] == int(limits.cpus * 1e9)
    assert seen["PidsLimit"] == limits.pids
    assert {ulimit["Name"]: ulimit["Hard"] for ulimit in seen["Ulimits"]}["nofile"] == limits.open_files  # type: ignore[attr-defined]
    assert seen["NetworkMode"] == "none"
    assert seen["ReadonlyRootfs"] is True
    assert seen["AutoRemove"] is False  # its result would be gone with it


def test_a_wait_that_runs_out_is_no_lost_engine(scene: Scene) -> None:
    inputs = scene.prepare("echo ready; sleep 3; seq 1 160000; exit 3", log=8 * MIB)
    usual = scene.client.api.timeout
    try:
        run = scene.run(inputs, Once(inputs, "ready", lambda: setattr(scene.client.api, "timeout", 1)))
    finally:
        scene.client.api.timeout = usual
    assert (run.ending.cause, run.ending.evidence.exit_code) == (Cause.AGENT_ERROR, 3)
    assert "engine_connection_lost" not in run.ending.evidence.facts
    assert scene.numbers() == list(range(1, 160_001))  # a megabyte at once


def test_a_fork_bomb_meets_the_limit_and_harms_nobody(scene: Scene) -> None:
    bomb = "import os,sys\nn=0\ntry:\n  while True:\n    os.fork() or __import__('time').sleep(60)\n    n+=1\n"
    bomb += "except BlockingIOError: print('no more after', n, flush=True); os.kill(os.getpid(), 15)"
    before = time.monotonic()
    run = scene.run(scene.prepare(f'python3 -c "{bomb}"; exit 9', pids=40, wall_clock_s=20))
    assert run.ending.cause in {Cause.AGENT_ERROR, Cause.KILLED}, run.ending
    assert not run.ending.transient or run.ending.cause is Cause.KILLED
    assert "no more after" in scene.log()
    assert time.monotonic() - before < 30
    assert not scene.is_there


def test_a_wall_clock_that_jumps_ends_nothing(scene: Scene) -> None:
    inputs = scene.prepare("echo ready; sleep 3; echo x >> README.md", wall_clock_s=30)
    with contextlib.ExitStack() as jumped:
        jump = Once(
            inputs,
            "ready",
            lambda: jumped.enter_context(time_machine.travel(datetime.now(UTC) + timedelta(hours=1))),
        )
        run = scene.run(inputs, jump)
    assert jump.done
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert run.timings["agent_s"] < 60


def test_a_container_that_somebody_paused_ends_at_its_wall_clock(scene: Scene) -> None:
    inputs = scene.prepare("echo ready; sleep 100", wall_clock_s=4, grace_s=1)
    run = scene.run(inputs, Once(inputs, "ready", lambda: scene.client.api.pause(scene.name)))
    assert run.ending.cause is Cause.TIMEOUT
    assert not scene.is_there


def test_a_flood_of_output_costs_no_memory_and_is_cut_where_that_is_permitted(scene: Scene) -> None:
    script = "head -c 60000000 /dev/zero | tr '\\0' x | fold -w 99; echo; echo the end; echo x >> README.md"
    inputs = scene.prepare(script, log=2 * MIB, wall_clock_s=300)
    before, most = resident_bytes(), [0]

    def watch() -> bool:
        most[0] = max(most[0], resident_bytes())
        return True

    run = scene.run(inputs, watch, output=OutputOptions(truncate_log=True))
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert most[0] - before < 20 * 10**6
    assert inputs.folder.log.stat().st_size < 2 * MIB + 50_000
    assert "the log is cut here" in scene.log()
    assert scene.log().endswith("the end\nsquire: the result is ready\n")
    dropped = run.ending.evidence.facts["log_dropped_bytes"]
    assert isinstance(dropped, int)
    assert dropped > 57_000_000


def _child(scene: Scene, host: str, script: str, **limits: float) -> "subprocess.Popen[str]":
    (scene.folder / "origin.sha").write_text(scene.origin.sha)
    command = [
        sys.executable,
        "-m",
        "tests.support.supervisor_child",
        host,
        str(scene.folder),
        scene.attempt_id,
        script,
    ]
    return subprocess.Popen([*command, json.dumps(limits)], cwd=ROOT, stdout=subprocess.DEVNULL, text=True)


def _until(scene: Scene, mark: str, timeout_s: float = 60) -> None:
    log = scene.folder / "attempt" / "agent.log"
    deadline = time.monotonic() + timeout_s
    while not (log.exists() and mark in log.read_text("utf-8", errors="replace")):
        assert time.monotonic() < deadline, f"{mark!r} did not come"
        time.sleep(0.05)


def _inputs_as_they_are(scene: Scene, script: str, **limits: float) -> AttemptInputs:
    """The attempt as a second supervisor reads it: nothing is written anew."""
    return replace(scene.prepare(script, **limits))


def gaps(numbers: list[int], last: int) -> list[tuple[int, int]]:
    """Where a row of numbers from 1 to `last` does not go on by one: few to show, where the lists would be many."""
    return [(one, other) for one, other in pairwise([0, *numbers, last + 1]) if other != one + 1]


def test_after_a_supervisor_was_killed_another_goes_on_and_misses_no_line(scene: Scene) -> None:
    script = "seq 1 50000; echo ready; sleep 4; seq 50001 60000; echo x >> README.md"
    child = _child(
        scene, scene.client.api.base_url.replace("http+docker://localhost", "unix:///var/run/docker.sock"), script
    )
    _until(scene, "ready")
    child.kill()
    child.wait(10)
    assert scene.is_there
    run = scene.run(_inputs_as_they_are(scene, script))
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert run.ending.evidence.facts["adopted"] is True
    assert gaps(scene.numbers(), 60_000) == []
    assert not scene.is_there


def test_after_a_supervisor_was_killed_what_is_in_its_long_log_stays(scene: Scene) -> None:
    # With what the engine writes to each line that is 55 MB, of which it keeps 40.
    count = "seq -f %0200.0f"
    script = f"{count} 1 200000; echo ready; sleep 2; {count} 200001 200100; echo x >> README.md"
    child = _child(scene, "unix:///var/run/docker.sock", script, log=64 * MIB)
    _until(scene, "ready", 120)
    child.kill()
    child.wait(10)
    deadline = time.monotonic() + 120
    while b"the result is ready" not in scene.client.api.logs(scene.name, tail=1):  # it waits to be taken
        assert time.monotonic() < deadline
    run = scene.run(_inputs_as_they_are(scene, script, log=64 * MIB))
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert gaps(scene.numbers(), 200_100) == []


def test_an_adopted_container_is_timed_by_a_clock_that_nobody_sets(scene: Scene) -> None:
    script = "echo ready; sleep 3; echo x >> README.md"
    child = _child(scene, "unix:///var/run/docker.sock", script, wall_clock_s=60)
    _until(scene, "ready")
    child.kill()
    child.wait(10)
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=2)):
        run = scene.run(_inputs_as_they_are(scene, script, wall_clock_s=60))
    assert run.ending.cause is Cause.COMPLETED, run.ending


def test_whoever_lost_the_lease_leaves_the_container_to_the_next(scene: Scene) -> None:
    inputs = scene.prepare("echo ready; sleep 100")

    def lost() -> None:
        raise LeaseLostError("another's")

    with pytest.raises(LeaseLostError):
        scene.run(inputs, Once(inputs, "ready", lost))
    assert scene.is_there
    assert reap.remove(scene.client, scene.name, attempt_id=scene.attempt_id)


class TestDebugging:
    """`keep_failed_containers`."""

    def test_the_container_of_a_failed_attempt_can_be_entered(self, scene: Scene) -> None:
        run = scene.run(scene.prepare("echo half > half.txt; exit 3"), keep_failed_s=3600)
        assert run.ending.cause is Cause.AGENT_ERROR
        facts = run.ending.evidence.facts
        container = reap.find(scene.client, scene.name)
        assert container is not None
        assert container.is_kept(datetime.now(UTC))
        assert not container.is_kept(datetime.now(UTC) + timedelta(hours=2))
        assert facts["container_kept"] == scene.name
        enter = str(facts["enter"]).replace(" -it ", " ").split()
        done = subprocess.run(
            [*enter, "-c", "cat /work/repo/half.txt; ls /in; id -u"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.splitlines()[0] == "half"
        assert "repo.bundle" in done.stdout

    def test_the_container_of_one_that_succeeded_is_not_kept(self, scene: Scene) -> None:
        assert scene.run(scene.prepare("echo x >> README.md"), keep_failed_s=3600).ending.cause is Cause.COMPLETED
        assert not scene.is_there

    def test_while_it_is_debugged_one_that_succeeded_is_kept_too(self, scene: Scene) -> None:
        until = datetime.now(UTC) + timedelta(hours=1)
        run = scene.run(scene.prepare("echo x >> README.md"), keep_until=until)
        assert run.ending.cause is Cause.COMPLETED
        container = reap.find(scene.client, scene.name)
        assert container is not None
        assert container.is_kept(datetime.now(UTC))
        assert not container.is_kept(until)

    def test_the_workspace_is_bounded_all_the_same(self, scene: Scene) -> None:
        script = "for n in 1 2 3 4 5; do head -c 30000000 /dev/urandom > $n; sleep 1; done; sleep 60"
        run = scene.run(scene.prepare(script, workspace=64 * MIB), keep_failed_s=3600)
        assert run.ending.cause is Cause.DISK_FULL, run.ending


class TestPreflight:
    """What is refused before an attempt is dispatched, by what the engine says."""

    def agent(self, **values: object) -> AgentSettings:
        return AgentSettings.model_validate({"kind": "command", "command": ["true"], "runner": "docker"} | values)

    def test_settings_that_fit_the_engine_are_accepted(self, client: docker.DockerClient) -> None:
        assert preflight.check_engine(self.agent(runtime="runc"), client).cpus > 0
        preflight.check_startable(self.agent())

    @pytest.mark.parametrize(
        ("values", "message", "hint"),
        [
            (
                {"limits": {"cpus": 200}},
                r"cpus = 200 is more than the engine's machine has: \d+",
                "agent.limits.cpus to",
            ),
            ({"limits": {"memory": "900GiB"}}, "memory = 966367641600 is more", "agent.limits.memory to"),
            (
                {"runtime": "runsc-none"},
                "'runsc-none': the engine at .* has no such runtime, only .*runc",
                "daemon.json",
            ),
        ],
        ids=["cpus", "memory", "runtime"],
    )
    def test_what_the_engine_cannot_give_is_refused(self, values: dict[str, object], message: str, hint: str) -> None:
        with pytest.raises(ConfigError, match=message) as caught:
            preflight.check_startable(self.agent(**values))
        assert hint in caught.value.hint

    def test_an_image_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(ImageMissingError, match="squire-none:none"):
            preflight.check_startable(self.agent(image="squire-none:none"))

    def test_an_image_without_an_entrypoint_is_refused(self, client: docker.DockerClient) -> None:
        base = next(tag for image in client.images.list() for tag in image.tags if tag.startswith("debian:"))
        with pytest.raises(ConfigError, match="has no entrypoint"):
            preflight.check_startable(self.agent(image=base))

    def test_an_image_that_hands_out_in_another_way_is_refused(self, client: docker.DockerClient) -> None:
        text = b'FROM squire-worker:latest\nLABEL squire.worker.contract=""\n'
        client.images.build(fileobj=io.BytesIO(text), tag="squire-test-old-worker:latest", rm=True)
        try:
            with pytest.raises(ConfigError, match="by contract 1; Squire needs 2") as caught:
                preflight.check_startable(self.agent(image="squire-test-old-worker:latest"))
            assert "images.sh" in caught.value.hint
        finally:
            client.images.remove("squire-test-old-worker:latest", force=True)

    @pytest.mark.parametrize("text", ["{nonsense", "[]", "{}"])
    def test_a_seccomp_file_that_is_none_is_refused(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "seccomp.json"
        path.write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
        agent = self.agent(seccomp=str(path))
        path.write_text(text)  # it was a profile when the settings were loaded
        with pytest.raises(ConfigError, match=r"seccomp\.json"):
            preflight.check_startable(agent)

    def test_an_engine_that_is_too_old_is_refused(self, client: docker.DockerClient) -> None:
        with pytest.raises(ConfigError, match=r"which is older than 9\.9"):
            preflight.check_engine(self.agent(), client, min_api=(9, 9))

    def test_what_was_found_is_remembered_for_a_while(self) -> None:
        asked = preflight.Preflight(cached_s=3600)
        first = asked.problem(self.agent(image="squire-none:none"), Deadline.after(60))
        assert isinstance(first, ImageMissingError)
        assert asked.problem(self.agent(image="squire-none:none"), Deadline.after(60)) is first
        assert asked.problem(self.agent(), Deadline.after(60)) is None


@pytest.fixture(scope="module")
def own() -> Iterator[OwnEngine]:
    with OwnEngine() as made:
        made.load(IMAGE)
        yield made


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
class TestTheEngineItself:
    """An engine of the test's own is restarted, killed, stopped and filled up."""

    @pytest.fixture
    def there(self, own: OwnEngine, origin: Origin, tmp_path: Path, attempt_id: str) -> Iterator[Scene]:
        client = own.client(4)
        yield Scene(client, origin, tmp_path, attempt_id)
        client.close()
        gc.collect()

    @staticmethod
    def _later(action: Callable[[], object]) -> Callable[[], None]:
        def begin() -> None:
            threading.Thread(target=action, daemon=True).start()

        return begin

    def test_restarted_with_live_restore_the_agent_goes_on_and_no_line_is_missed(
        self, own: OwnEngine, there: Scene
    ) -> None:
        own.run_with("--live-restore")
        inputs = there.prepare("seq 1 1000; echo ready; sleep 5; seq 1001 2000; echo x >> README.md")
        restart = Once(inputs, "ready", self._later(lambda: own.restart("--live-restore")))
        run = there.run(inputs, restart, patience_s=60)
        assert run.ending.cause is Cause.COMPLETED, run.ending
        assert run.ending.evidence.exit_code == 0
        assert run.ending.evidence.facts["engine_connection_lost"] is True
        assert there.numbers() == list(range(1, 2001))
        assert not there.is_there

    def test_killed_with_live_restore_the_agent_goes_on(self, own: OwnEngine, there: Scene) -> None:
        own.run_with("--live-restore")
        inputs = there.prepare("echo ready; sleep 5; echo x >> README.md")
        kill = Once(inputs, "ready", self._later(lambda: own.restart("--live-restore", number=signal.SIGKILL)))
        run = there.run(inputs, kill, patience_s=60)
        assert run.ending.cause is Cause.COMPLETED, run.ending
        assert not there.is_there

    def test_restarted_without_it_the_agent_is_lost_and_tried_again(self, own: OwnEngine, there: Scene) -> None:
        own.run_with()
        inputs = there.prepare("echo ready; sleep 100")
        run = there.run(inputs, Once(inputs, "ready", self._later(own.restart)), patience_s=60)
        assert run.ending.cause is Cause.ENGINE_LOST, run.ending
        assert run.ending.transient
        assert not there.is_there

    def test_killed_without_it_the_agent_is_lost_and_tried_again(self, own: OwnEngine, there: Scene) -> None:
        own.run_with()
        inputs = there.prepare("echo ready; sleep 100")
        kill = Once(inputs, "ready", self._later(lambda: own.restart(number=signal.SIGKILL)))
        run = there.run(inputs, kill, patience_s=60)
        assert run.ending.cause is Cause.ENGINE_LOST, run.ending
        assert run.ending.transient
        assert not there.is_there

    def test_an_engine_that_hangs_for_good_is_lost_after_the_patience(self, own: OwnEngine, there: Scene) -> None:
        own.run_with()
        inputs = there.prepare("echo ready; sleep 100")
        usual = there.client.api.timeout

        def hang() -> None:
            own.send(signal.SIGSTOP)
            there.client.api.timeout = 1  # of each of the many requests from here on

        try:
            run = there.run(inputs, Once(inputs, "ready", hang), patience_s=3)
        finally:
            own.send(signal.SIGCONT)
            there.client.api.timeout = usual
        assert run.ending.cause is Cause.ENGINE_LOST
        assert run.ending.transient
        # It was left behind, as nobody could remove it; the reaper can.
        reap.remove(there.client, there.name, attempt_id=there.attempt_id)
        assert not there.is_there

    def test_an_engine_that_hangs_for_a_while_is_waited_for(self, own: OwnEngine, there: Scene) -> None:
        inputs = there.prepare("echo ready; sleep 4; echo x >> README.md")

        def hang() -> None:
            own.send(signal.SIGSTOP)
            there.client.api.timeout = 1
            waker = threading.Timer(3.0, lambda: own.send(signal.SIGCONT))
            waker.daemon = True
            waker.start()

        run = there.run(inputs, Once(inputs, "ready", hang), patience_s=40)
        assert run.ending.cause is Cause.COMPLETED, run.ending
        assert not there.is_there

    def test_an_engine_that_hangs_before_the_start_is_transient(self, own: OwnEngine, there: Scene) -> None:
        inputs = there.prepare("true")
        there.client.api.timeout = 1
        own.send(signal.SIGSTOP)
        try:
            run = there.run(inputs)
        finally:
            own.send(signal.SIGCONT)
        assert run.ending.cause is Cause.ENGINE_LOST
        assert run.ending.transient


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_an_engine_whose_disk_is_full_is_named_and_nothing_more_is_dispatched(
    origin: Origin, tmp_path: Path, attempt_id: str
) -> None:
    with OwnEngine(data_bytes=1200 * MIB) as own:
        own.load(IMAGE)
        client = own.client()
        scene = Scene(client, origin, tmp_path, attempt_id)
        inputs = scene.prepare("true")
        ballast = own.fill()
        run = scene.run(inputs)
        assert run.ending.cause is Cause.DISK_FULL, run.ending
        assert run.ending.transient
        agent = AgentSettings(kind="command", command=("true",), limits=LimitSettings(cpus=1))
        with pytest.raises(EngineError, match="the engine's disk is full"):
            preflight.check_engine(agent, client)
        ballast.unlink()
        assert scene.run(inputs).ending.cause is Cause.NO_CHANGES
        assert not scene.is_there
        client.close()
