"""The docker executor on a real engine: what a step's container may use, and what becomes of it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from squire_forge.process import ForgeProcess
from squire_pipelines.agents import step_containers
from squire_pipelines.demo.folder import keep_secrets, secrets_in_memory
from squire_pipelines.domain.endings import Cause
from squire_pipelines.execution import step_executor
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.secrets.key_file import KEY_VARIABLE
from squire_pipelines.tags import ATTEMPT, TASK, TRACE
from tests.support.inspections import Inspections
from tests.support.pipeline import LEDGERLIB, Pipeline

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(420)]
ROOT = Path(__file__).parents[3]
MEMORY = 420 * 2**20
SETTINGS = f"""
[pipeline]
executor = "docker"
network = "host"
[pipeline.step_limits]
cpus = 0.75
memory = {MEMORY}
pids = 200
[dispatch]
lease_s = 20
[repository."{LEDGERLIB}".agent]
kind = "command"
runner = "docker"
"""
# Small ones, so that the kernel takes the largest process for its victim, which is the step.
HOG = "import time; x = bytearray(24 * 2**20); x[::4096] = b'x' * len(x[::4096]); time.sleep(60)"


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    connected = docker.from_env(timeout=60)
    try:
        connected.images.get("squire-pipeline:latest")
    except docker.errors.ImageNotFound:
        pytest.skip("scripts/images.sh pipeline has not been run")
    yield connected
    connected.close()


class Bench:
    """One home, its engine, and runs of `agent_run` as processes."""

    def __init__(self, pipeline: Pipeline, client: docker.DockerClient, stack: contextlib.ExitStack) -> None:
        self.pipeline = pipeline
        self.stack = stack  # is left when the test ends
        self.client = client
        self.runs: list[subprocess.Popen[bytes]] = []
        self.attempts: list[Attempt] = []
        self.log = pipeline.home / "run.log"

    def start(self, attempt: Attempt) -> subprocess.Popen[bytes]:
        """A run worker of its own."""
        marks = {ATTEMPT: attempt.id, TASK: attempt.task_id, TRACE: attempt.trace_id}
        arguments = [f"{name}={value}" for name, value in marks.items()]
        environment = {
            **os.environ,
            "DAGSTER_HOME": str(self.pipeline.home / "dagster"),
            "PYTHONPATH": str(ROOT),
        }
        with self.log.open("ab") as log:
            run = subprocess.Popen(
                [sys.executable, "-m", "tests.support.step_run", *arguments],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        self.runs.append(run)
        self.attempts.append(attempt)
        return run

    def containers(self) -> list[Container]:
        """This home's step containers, whatever their state."""
        labels = [
            f"{name}={value}" for name, value in step_containers.labels(self.pipeline.settings.home.state).items()
        ]
        return list(self.client.containers.list(all=True, ignore_removed=True, filters={"label": labels}))

    def wait_until_ended(self) -> None:
        """Wait until no step runs: its process ends a moment after the event that ends the run."""
        self.until(lambda: not [container for container in self.containers() if container.status == "running"])

    def step(self, name: str) -> Container:
        """The running container of a step."""

        def look() -> Container | None:
            for container in self.containers():
                environment = container.attrs["Config"]["Env"]
                if f"DAGSTER_RUN_STEP_KEY={name}" in environment and container.status == "running":
                    return container
            return None

        container: Container = self.until(look)
        return container

    def until(self, look: Callable[[], Any], timeout_s: float = 120) -> Any:
        """What `look` finds, as soon as it finds something."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if containers := look():
                return containers
            time.sleep(0.3)
        pytest.fail(self.log.read_text(errors="replace")[-6000:])

    def text(self) -> str:
        return self.log.read_text(errors="replace")


@pytest.fixture
def bench(pipeline: Pipeline, forge: ForgeProcess, client: docker.DockerClient) -> Iterator[Bench]:
    stack = contextlib.ExitStack()
    memory = stack.enter_context(secrets_in_memory(pipeline.home))
    keep_secrets(pipeline.home, memory, {"github-token": forge.token})
    (pipeline.home / "dagster").mkdir()
    (pipeline.home / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    pipeline.commands = {}
    made = Bench(pipeline, client, stack)
    with stack:
        yield made
    for run in made.runs:
        if run.poll() is None:
            run.kill()
        run.wait(30)
    for left in made.containers():
        with contextlib.suppress(docker.errors.NotFound):
            left.remove(force=True)
    for attempt in made.attempts:
        for left in client.containers.list(all=True, ignore_removed=True, filters={"name": f"squire-{attempt.id}"}):
            with contextlib.suppress(docker.errors.APIError):
                left.remove(force=True)


def _configure(bench: Bench, seconds: int) -> Attempt:
    script = f"sleep {seconds}; echo 'in a container' >> README.md"
    bench.pipeline.configure(f'{SETTINGS}command = ["sh", "-c", "{script}"]\n', runner="docker")
    return bench.pipeline.attempt(LEDGERLIB)


def _over(step: Container) -> dict[str, Any] | None:
    """The state of a container that no longer runs."""
    step.reload()
    state: dict[str, Any] = step.attrs["State"]
    return state if step.status != "running" else None


def test_a_run_whose_step_dies_of_memory_goes_on_with_its_attempt(bench: Bench, forge: ForgeProcess) -> None:
    attempt = _configure(bench, 12)
    inspections = bench.stack.enter_context(Inspections())
    run = bench.start(attempt)
    step = bench.step("run_agent")
    host = step.attrs["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (MEMORY, MEMORY)
    assert (host["NanoCpus"], host["PidsLimit"]) == (750_000_000, 200)
    assert (host["CapDrop"], host["SecurityOpt"], host["Init"]) == (["ALL"], ["no-new-privileges"], True)
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "2"}
    output = step.exec_run("cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max").output
    assert isinstance(output, bytes)
    assert str(MEMORY).encode() in output
    secrets = [line for line in step.attrs["Config"]["Env"] if "TOKEN" in line or "KEY=" in line]
    assert [line for line in secrets if "STEP_KEY" not in line] == []

    # The agent's own container runs before the step is killed: the retry has to find it.
    (agent,) = bench.until(
        lambda: bench.client.containers.list(ignore_removed=True, filters={"name": f"squire-{attempt.id}"})
    )
    assert agent.id not in {container.id for container in bench.containers()}, "no agent runs in a step's container"
    assert f"{step_executor.IN_STEP}=1" in step.attrs["Config"]["Env"]
    for _ in range(40):
        with contextlib.suppress(docker.errors.APIError):
            step.exec_run(["python3", "-c", HOG], detach=True)
        step.reload()
        if step.status != "running":
            break
        time.sleep(0.2)
    ended = bench.until(lambda: _over(step))
    assert ended["OOMKilled"], ended
    assert ended["ExitCode"] == 137

    assert run.wait(240) == 0, bench.text()[-8000:]
    row = bench.pipeline.read_attempt(attempt.id)
    assert row.cause == Cause.COMPLETED, row
    assert bench.pipeline.read_task(attempt.task_id).attempts == 1, "the retried step went on with the attempt"
    retried = [
        container
        for container in bench.containers()
        if "DAGSTER_RUN_STEP_KEY=run_agent" in container.attrs["Config"]["Env"]
    ]
    assert len(retried) == 2
    assert bench.client.containers.list(all=True, ignore_removed=True, filters={"name": f"squire-{attempt.id}"}) == []

    bench.wait_until_ended()
    steps = {str(container.name) for container in bench.containers()}
    assert steps | {f"squire-{attempt.id}"} <= inspections.containers.keys()
    store_key = Path(os.environ[KEY_VARIABLE]).read_text(encoding="utf-8").split()[-1]
    assert inspections.with_secret([forge.token, store_key]) == []
    assert step_containers.remove_ended(bench.client, bench.pipeline.settings.home.state, older_than_s=0) >= 5
    assert bench.containers() == []


def test_a_cancelled_run_leaves_no_container_behind(bench: Bench) -> None:
    attempt = _configure(bench, 90)
    run = bench.start(attempt)
    bench.step("run_agent")
    bench.until(lambda: bench.client.containers.list(ignore_removed=True, filters={"name": f"squire-{attempt.id}"}))
    run.send_signal(signal.SIGTERM)
    assert run.wait(90) != 0
    bench.wait_until_ended()
    assert bench.client.containers.list(all=True, ignore_removed=True, filters={"name": f"squire-{attempt.id}"}) == []
    assert bench.pipeline.read_attempt(attempt.id).cause in {Cause.CANCELLED, Cause.LOST}
    step_containers.remove_ended(bench.client, bench.pipeline.settings.home.state, older_than_s=0)
    assert bench.containers() == []


def test_a_killed_run_workers_step_ends_by_itself_and_is_removed(bench: Bench) -> None:
    attempt = _configure(bench, 6)
    run = bench.start(attempt)
    bench.step("run_agent")
    run.kill()
    run.wait(30)
    bench.wait_until_ended()
    step_containers.remove_ended(bench.client, bench.pipeline.settings.home.state, older_than_s=0)
    assert bench.containers() == []
    assert bench.client.containers.list(all=True, ignore_removed=True, filters={"name": f"squire-{attempt.id}"}) == []


def test_a_container_that_was_never_started_is_removed_when_nobody_will(bench: Bench) -> None:
    home = bench.pipeline.settings.home.state
    made = bench.client.containers.create("squire-pipeline:latest", ["true"], labels=step_containers.labels(home))
    assert step_containers.remove_ended(bench.client, home, older_than_s=0) == 0
    time.sleep(0.1)
    assert step_containers.remove_ended(bench.client, home, older_than_s=0, unstarted_s=0) == 1
    assert made.id not in {container.id for container in bench.containers()}
