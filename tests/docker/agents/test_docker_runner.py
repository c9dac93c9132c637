"""The Docker runner on a real engine: every ending, and that the container is always gone afterwards."""

import dataclasses
import gc
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import docker
import pytest

from squire_pipelines.agents import engine, profile, reap, worker_files
from squire_pipelines.agents.adapters.opencode import OpenCodeAgent
from squire_pipelines.agents.docker_runner import DockerRunner, EngineOptions
from squire_pipelines.agents.engine_kinds import create_container
from squire_pipelines.agents.logs import OutputOptions
from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import EngineError, ImageMissingError, RefusedError
from squire_pipelines.sections.agents import LimitSettings
from tests.support.attempts import MIB, Origin, StopAfterStart, go_on, make_inputs, small_limits
from tests.support.engine_proxy import EngineProxy

pytestmark = pytest.mark.docker
HOG = "x = bytearray(10**9)"


@dataclasses.dataclass(frozen=True)
class Bench:
    """A runner, an origin and a folder; after each run the container must be gone."""

    client: docker.DockerClient
    runner: DockerRunner
    origin: Origin
    folder: Path
    attempt_id: str

    def prepare(self, script: str, limits: LimitSettings | None = None) -> AttemptInputs:
        command = ("sh", "-c", script)
        return self.origin.prepared(self.folder, command=command, limits=limits, attempt_id=self.attempt_id)

    def run(self, inputs: AttemptInputs, heartbeat: Callable[[], bool] = go_on) -> RunResult:
        result = self.runner.run(inputs, heartbeat=heartbeat)
        assert not self.exists()
        return result

    def shell(self, script: str, limits: LimitSettings | None = None) -> RunResult:
        return self.run(self.prepare(script, limits))

    @property
    def name(self) -> str:
        return profile.container_name(self.attempt_id)

    def exists(self) -> bool:
        return reap.find(self.client, self.name) is not None

    def log(self) -> str:
        return (self.folder / "attempt" / "agent.log").read_text(encoding="utf-8")

    def create(self, inputs: AttemptInputs) -> str:
        """A container of the attempt's, as a supervisor that died would have left it: created, not started."""
        arguments = profile.create_arguments(
            inputs, image=inputs.image, user=profile.host_user(), seccomp=worker_files.seccomp_profile()
        )
        return str(create_container(self.client, **arguments).id)


@pytest.fixture
def bench(client: docker.DockerClient, runner: DockerRunner, origin: Origin, tmp_path: Path, attempt_id: str) -> Bench:
    return Bench(client, runner, origin, tmp_path, attempt_id)


class AfterMark:
    """A heartbeat that does something once when the log holds `mark`."""

    def __init__(self, log: Path, mark: str, action: Callable[[], object]) -> None:
        self._log = log
        self._mark = mark
        self._action = action
        self.done = False

    def __call__(self) -> bool:
        if not self.done and self._mark in self._log.read_text(encoding="utf-8"):
            self.done = True
            self._action()
        return True


def test_a_change_comes_back_as_a_bundle(bench: Bench) -> None:
    before = datetime.now(UTC)
    run = bench.shell("echo changed >> README.md; echo hello")
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert run.bundle is not None
    assert bench.origin.file_after(run.bundle, "squire/t000000001-do-it", "README.md") == "# Sample\nchanged"
    assert run.image_digest is not None
    assert run.image_digest.startswith("sha256:")
    assert run.agent_started_at is not None
    assert run.agent_started_at > before
    assert "hello" in run.ending.evidence.log_tail
    assert run.ending.evidence.exit_code == 0
    assert {"image_s", "create_s", "start_s", "workspace_in_s", "agent_start_s", "agent_s", "bundle_out_s"} <= set(
        run.timings
    )


def test_no_change_is_an_ending_of_its_own(bench: Bench) -> None:
    run = bench.shell("true")
    assert run.ending.cause is Cause.NO_CHANGES
    assert run.bundle is None


def test_an_agents_error_has_its_exit_code(bench: Bench) -> None:
    run = bench.shell("echo half >> README.md; exit 3")
    assert run.ending.cause is Cause.AGENT_ERROR
    assert run.ending.evidence.exit_code == 3


def test_a_command_that_is_not_there_is_named(bench: Bench) -> None:
    inputs = bench.origin.prepared(bench.folder, command=("no-such-agent",), attempt_id=bench.attempt_id)
    run = bench.run(inputs)
    assert run.ending.cause is Cause.AGENT_NOT_FOUND
    assert run.ending.evidence.exit_code == 127
    assert "no-such-agent" in run.ending.message


def test_the_agent_is_confined(bench: Bench) -> None:
    script = """
        id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; env
        echo x > /etc/passwd || echo root is read-only
        echo x > /in/task.json || echo inputs are read-only
        ls /sys/class/net; ls /run/squire; ulimit -c
    """
    bench.shell(script)
    log = bench.log()
    assert str(profile.host_user()[0]) in log.splitlines()  # any line: the two streams arrive in no fixed order
    assert "CapEff:\t0000000000000000" in log
    assert "CapBnd:\t0000000000000000" in log
    assert "NoNewPrivs:\t1" in log
    assert "Seccomp:\t2" in log
    assert "root is read-only" in log
    assert "inputs are read-only" in log
    assert "eth0" not in log
    tokens = [line for line in log.splitlines() if "TOKEN" in line]
    assert [line.partition("=")[0] for line in tokens] == ["DEPLOY_TOKEN"]  # the canary, which opens nothing


def test_the_wall_clock_ends_an_agent_that_listens(bench: Bench) -> None:
    run = bench.shell("sleep 100", small_limits(wall_clock_s=2))
    assert run.ending.cause is Cause.TIMEOUT
    assert run.ending.evidence.killed_by_us
    assert run.ending.evidence.exit_code == 143
    assert run.timings["total_s"] < 10


def test_the_wall_clock_ends_an_agent_that_does_not(bench: Bench) -> None:
    run = bench.shell("trap '' TERM; while :; do sleep 1; done", small_limits(wall_clock_s=2, grace_s=1))
    assert run.ending.cause is Cause.TIMEOUT
    assert not run.ending.evidence.oom_killed
    assert run.timings["total_s"] < 10


def test_what_an_agent_had_made_when_its_time_was_over_is_handed_out(bench: Bench) -> None:
    script = "echo more >> README.md; sleep 100"
    run = bench.shell(script, small_limits(wall_clock_s=4))
    assert run.ending.cause is Cause.TIMEOUT
    assert run.bundle is not None
    assert bench.origin.file_after(run.bundle, "squire/t000000001-do-it", "README.md") == "# Sample\nmore"


def test_a_program_that_stays_after_its_last_word_is_ended_and_its_change_kept(bench: Bench) -> None:
    last = '{"type": "step_finish", "sessionID": "s", "part": {"reason": "stop", "tokens": {"output": 5}}}'
    inputs = bench.prepare(f"echo more >> README.md; echo '{last}'; sleep 100", small_limits(wall_clock_s=90))
    runner = DockerRunner(bench.client, output=OutputOptions(linger_s=1))
    run = runner.run(dataclasses.replace(inputs, agent=OpenCodeAgent()), heartbeat=go_on)
    assert not bench.exists()
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert run.timings["total_s"] < 60
    assert run.bundle is not None
    assert bench.origin.file_after(run.bundle, "squire/t000000001-do-it", "README.md") == "# Sample\nmore"


def test_a_cancellation_ends_the_agent(bench: Bench) -> None:
    inputs = bench.prepare("echo ready; sleep 100")
    run = bench.run(inputs, StopAfterStart(inputs.folder.log, "ready"))
    assert run.ending.cause is Cause.CANCELLED


def test_an_agent_out_of_memory_is_told_by_the_engines_flag(bench: Bench) -> None:
    command = ("python3", "-c", HOG)
    run = bench.run(bench.origin.prepared(bench.folder, command=command, attempt_id=bench.attempt_id))
    assert run.ending.cause is Cause.OUT_OF_MEMORY
    assert run.ending.evidence.oom_killed
    assert run.ending.evidence.exit_code == 137


def test_a_child_out_of_memory_is_only_noted(bench: Bench) -> None:
    run = bench.shell(f"python3 -c '{HOG}'; echo done >> README.md")
    assert run.ending.cause is Cause.COMPLETED
    assert run.ending.evidence.oom_killed
    assert run.ending.evidence.facts["child_oom_killed"] is True


def test_a_kill_by_somebody_else_is_never_out_of_memory(bench: Bench) -> None:
    inputs = bench.prepare("echo ready; sleep 100")
    kill = AfterMark(inputs.folder.log, "ready", lambda: bench.client.api.kill(bench.name))
    run = bench.run(inputs, kill)
    assert run.ending.cause is Cause.KILLED
    assert run.ending.evidence.exit_code == 137


def test_a_container_that_somebody_removes_is_an_engine_lost(bench: Bench) -> None:
    inputs = bench.prepare("echo ready; sleep 100")
    remove = AfterMark(inputs.folder.log, "ready", lambda: bench.client.api.remove_container(bench.name, force=True))
    run = bench.run(inputs, remove)
    assert run.ending.cause is Cause.ENGINE_LOST
    assert "gone" in run.ending.message


def test_a_flood_of_output_is_cut_and_ends_the_agent(bench: Bench) -> None:
    run = bench.shell("yes", small_limits(log=MIB))
    assert run.ending.cause is Cause.LOG_OVERFLOW
    assert len(bench.log()) < MIB + 200
    assert "the log is cut here" in bench.log()


def test_much_output_within_the_limit_is_complete(bench: Bench) -> None:
    run = bench.shell("seq 1 200000", small_limits(log=8 * MIB))
    assert run.ending.cause is Cause.NO_CHANGES
    assert [line for line in bench.log().splitlines() if line.isdigit()] == [str(n) for n in range(1, 200_001)]


def test_output_files_that_outgrow_their_limit_end_the_agent(bench: Bench) -> None:
    script = "for n in 1 2 3; do head -c 3000000 /dev/zero > /out/$n; done; echo x >> README.md"
    run = bench.shell(script, small_limits(output=4 * MIB))
    assert run.ending.cause is Cause.DISK_FULL


UNLINKED = """
import os
files = []
for number in range(1000):
    files.append(os.open(f"/out/{number}", os.O_CREAT | os.O_RDWR))
    os.unlink(f"/out/{number}")
    try:
        os.posix_fallocate(files[-1], 0, 2**20)
    except OSError:
        print(f"stopped at {number} MiB", flush=True)
        break
"""


def test_kernel_bounds_what_is_allocated_and_unlinked(bench: Bench) -> None:
    run = bench.shell(f"python3 -c '{UNLINKED}'", small_limits(output=4 * MIB))
    assert "stopped at 6 MiB" in run.ending.evidence.log_tail
    assert run.ending.cause is Cause.NO_CHANGES


def test_a_forged_result_does_not_make_a_success(bench: Bench) -> None:
    forged = '{"schema": 1, "status": "no_changes", "agent_exit_code": 0}'
    run = bench.shell(f"echo '{forged}' > /out/result.json; kill -KILL $PPID; sleep 100")
    assert run.ending.cause is Cause.KILLED
    assert run.bundle is None


def test_secrets_are_taken_out_of_the_log(bench: Bench) -> None:
    runner = DockerRunner(bench.client, output=OutputOptions(redact=lambda text: text.replace("hunter2", "***")))
    run = runner.run(bench.prepare("echo the word is hunter2"), heartbeat=go_on)
    assert "the word is ***" in run.ending.evidence.log_tail
    assert "hunter2" not in bench.log()


def test_a_missing_image_names_itself_and_the_way_out(bench: Bench) -> None:
    inputs = dataclasses.replace(bench.prepare("true"), image="squire-no-such-image:1")
    run = bench.run(inputs)
    assert run.ending.cause is Cause.IMAGE_MISSING
    assert "squire-no-such-image:1" in run.ending.message
    assert "scripts/images.sh worker" in run.ending.message
    with pytest.raises(ImageMissingError):
        bench.runner.ensure_image("squire-no-such-image:1")


def test_a_profile_that_the_engine_refuses_is_our_error(bench: Bench) -> None:
    run = DockerRunner(bench.client, options=EngineOptions(seccomp="{nonsense")).run(
        bench.prepare("true"), heartbeat=go_on
    )
    assert run.ending.cause in {Cause.INTERNAL_ERROR, Cause.ENGINE_LOST}
    assert not bench.exists()


def test_without_a_workspace_nothing_is_created(bench: Bench) -> None:
    run = bench.runner.run(make_inputs(bench.folder, command=("true",)), heartbeat=go_on)
    assert run.ending.cause is Cause.WORKSPACE_ERROR


def test_a_running_container_of_a_dead_supervisor_is_adopted(bench: Bench) -> None:
    inputs = bench.prepare("echo early; sleep 3; echo late; echo x >> README.md")
    bench.client.api.start(bench.create(inputs))
    run = bench.run(inputs)
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert run.ending.evidence.facts["adopted"] is True
    assert "early" in run.ending.evidence.log_tail
    assert "late" in run.ending.evidence.log_tail


def test_a_container_that_was_created_but_not_started_is_started(bench: Bench) -> None:
    inputs = bench.prepare("echo x >> README.md")
    bench.create(inputs)
    run = bench.run(inputs)
    assert run.ending.cause is Cause.COMPLETED
    assert "adopted" not in run.ending.evidence.facts


def test_a_container_that_has_ended_meanwhile_is_taken_over(bench: Bench) -> None:
    inputs = bench.prepare("echo x >> README.md")
    created = bench.create(inputs)
    bench.client.api.start(created)
    while b"the result is ready" not in bench.client.api.logs(created):
        assert bench.client.api.inspect_container(created)["State"]["Running"]
    run = bench.run(inputs)  # nobody had listened: it waits until its result is taken
    assert run.ending.cause is Cause.COMPLETED
    assert run.agent_started_at is not None


def test_an_adopted_container_gets_no_second_wall_clock(bench: Bench) -> None:
    inputs = bench.prepare("sleep 100", small_limits(wall_clock_s=3))
    bench.client.api.start(bench.create(inputs))
    run = bench.run(inputs, go_on)
    assert run.ending.cause is Cause.TIMEOUT
    assert run.timings["total_s"] < 10


def test_a_foreign_container_of_the_same_name_is_left_alone(bench: Bench) -> None:
    inputs = bench.prepare("true")
    foreign = bench.client.api.create_container(inputs.image, ["true"], name=bench.name)
    run = bench.runner.run(inputs, heartbeat=go_on)
    assert run.ending.cause is Cause.ENGINE_LOST
    assert "taken" in run.ending.message
    assert bench.exists()
    with pytest.raises(RefusedError):
        reap.remove(bench.client, bench.name)
    bench.client.api.remove_container(foreign["Id"], force=True)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_interrupt_removes_the_container(bench: Bench, kind: type[BaseException]) -> None:
    inputs = bench.prepare("echo ready; sleep 100")

    def interrupt() -> None:
        raise kind

    with pytest.raises(kind):
        bench.runner.run(inputs, heartbeat=AfterMark(inputs.folder.log, "ready", interrupt))
    assert not bench.exists()


# A connection that breaks leaves docker-py's socket to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
class TestEngineAway:
    """The engine goes away while an agent runs."""

    @pytest.fixture(autouse=True)
    def _collected(self) -> Iterator[None]:
        yield
        gc.collect()

    @pytest.fixture
    def proxy(self, short_path: Path, client: docker.DockerClient) -> EngineProxy:
        info = engine.describe(client)
        assert info.cpus > 0
        host = engine.engine_available()
        assert host is not None
        return EngineProxy(short_path / "e.sock", Path("/var/run/docker.sock"))

    def test_for_good_it_is_lost_after_the_patience(self, bench: Bench, proxy: EngineProxy) -> None:
        inputs = bench.prepare("echo ready; sleep 100")
        with proxy:
            runner = DockerRunner(engine.connect(5, hosts=(proxy.host,)), options=EngineOptions(patience_s=2))
            run = runner.run(inputs, heartbeat=AfterMark(inputs.folder.log, "ready", proxy.cut))
            runner.close()
        assert run.ending.cause is Cause.ENGINE_LOST
        assert run.ending.transient
        assert run.timings["total_s"] < 30

    def test_for_a_while_the_run_goes_on(self, bench: Bench, proxy: EngineProxy) -> None:
        inputs = bench.prepare("echo ready; sleep 6; echo back; echo x >> README.md")

        def cut_and_mend() -> None:
            proxy.cut()
            mender = threading.Timer(1.0, proxy.mend)
            mender.daemon = True
            mender.start()

        with proxy:
            runner = DockerRunner(engine.connect(10, hosts=(proxy.host,)), options=EngineOptions(patience_s=20))
            run = runner.run(inputs, heartbeat=AfterMark(inputs.folder.log, "ready", cut_and_mend))
            runner.close()
        assert run.ending.cause is Cause.COMPLETED, run.ending
        assert run.ending.evidence.facts["engine_connection_lost"] is True
        assert "the connection to the engine broke here" in bench.log()
        assert "back" in bench.log()
        assert not bench.exists()

    def test_before_the_start_nothing_is_created(self, bench: Bench, proxy: EngineProxy) -> None:
        inputs = bench.prepare("true")
        with proxy:
            runner = DockerRunner(engine.connect(5, hosts=(proxy.host,)))
            proxy.cut()
            run = runner.run(inputs, heartbeat=go_on)
            runner.close()
            with pytest.raises(EngineError):
                reap.list_containers(runner._client)
            with pytest.raises(EngineError):
                engine.describe(runner._client)
        assert run.ending.cause is Cause.ENGINE_LOST
        assert not bench.exists()


def test_containers_are_found_by_label_and_removed_by_name(bench: Bench) -> None:
    inputs = dataclasses.replace(bench.prepare("sleep 100"), run_id="run-1")
    bench.client.api.start(bench.create(inputs))
    containers = [c for c in reap.list_containers(bench.client) if c.attempt_id == bench.attempt_id]
    assert len(containers) == 1
    assert containers[0].name == bench.name
    assert containers[0].running
    labels = bench.client.containers.get(bench.name).labels
    assert (containers[0].role, labels["squire.task"], labels["squire.run"]) == ("agent", inputs.task_id, "run-1")
    assert containers[0].started_at is not None
    with pytest.raises(RefusedError):
        reap.remove(bench.client, bench.name, attempt_id="another")
    assert reap.remove(bench.client, bench.name, attempt_id=bench.attempt_id)
    assert not reap.remove(bench.client, bench.name)
    assert bench.attempt_id not in {c.attempt_id for c in reap.list_containers(bench.client)}


def test_the_connection_that_reads_the_output_is_closed_at_the_end(bench: Bench) -> None:
    before = threading.active_count()
    bench.shell("true")
    assert threading.active_count() == before
