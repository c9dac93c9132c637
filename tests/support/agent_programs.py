"""Runs agents' programs in their images against a scripted provider: through Squire, and bare in the same image."""

import base64
import shlex
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.types import Mount

from squire_pipelines.agent_names import IN_WORKER_IMAGE, PROGRAMS, WORKER_IMAGE
from squire_pipelines.agents import profile, worker_files
from squire_pipelines.agents.adapters.protocol import Agent, AgentConfig, Marker
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.agents.images import build_image
from squire_pipelines.agents.model import RunResult
from squire_pipelines.agents.program_locks import find_program
from squire_pipelines.gateway.model import GatewayCall, Protocol
from squire_pipelines.gateway.server import Gateway, socket_directory
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import GatewayConfig
from squire_pipelines.sections.agents import LimitSettings
from tests.support.attempts import MIB, Origin, small_limits
from tests.support.billing import PRICE
from tests.support.scripted_provider import MODEL, ScriptedProvider

KEY = "sk-" + "k" * 30
PROMPT = "Add a line to README.md."
END_OF_MINI = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
"""mini-swe-agent ends when a command says this."""
WITH_TOOLS = tuple(name for name in PROGRAMS if name != "aider")
"""The programs that have their model run commands; aider's writes files whole."""
_WAIT_S = 120.0
_POLL_S = 0.01
_INPUTS, _FILES, _REPOSITORY = "/in", "/work/agent", "/work/repo"


def program_limits() -> LimitSettings:
    """Return limits in which every program has room."""
    sizes = {"memory": 3072 * MIB, "workspace": 256 * MIB, "home": 512 * MIB, "tmp": 512 * MIB}
    return small_limits(**sizes, cpus=2, pids=256, open_files=4096, wall_clock_s=180)


def image_of(client: docker.DockerClient, name: str) -> str:
    """Return the agent's image, which is built unless the engine has it."""
    return WORKER_IMAGE if name in IN_WORKER_IMAGE else build_image(client, find_program(name)).tag


def commands_of(name: str, *commands: str) -> tuple[str, ...]:
    """Return what the scripted model has the program run, and what makes it end."""
    return (*commands, END_OF_MINI) if name == "mini-swe-agent" else commands


def text_of(name: str, path: str = "README.md") -> str:
    """Return what the scripted model says when it has run its commands: with aider, which runs none, a whole file.

    The file must have no line of three backticks: aider would ask for another sign around it.
    """
    return "Done." if name in WITH_TOOLS else f"{path}\n```\n# Sample\nby a model\n```\n"


@dataclass(frozen=True)
class ProgramRun:
    """One attempt through Squire: how it ended, what the gateway recorded, and when it began (monotonic clock)."""

    run: RunResult
    calls: list[GatewayCall]
    began: float
    log: str


def run_through_squire(
    client: docker.DockerClient, origin: Origin, agent: Agent, *, image: str, provider: ScriptedProvider, folder: Path
) -> ProgramRun:
    """Run one attempt as the pipeline does, from its prepared folder to the bundle."""
    protocol = agent.protocols[0]
    calls: list[GatewayCall] = []
    lock = threading.Lock()

    def on_call(call: GatewayCall) -> None:
        with lock:
            calls.append(call)

    inputs = origin.prepared(
        folder,
        agent=agent,
        order=AgentConfig(model=MODEL, protocol=protocol),
        attempt_id=f"bench-{uuid.uuid4().hex[:12]}-1",
        prompt=PROMPT,
        image=image,
        limits=program_limits(),
    )
    upstream = Upstream(provider.url(protocol), KEY, (MODEL,), protocol=Protocol(protocol), prices={MODEL: PRICE})
    config = GatewayConfig("a1", (upstream,))
    began = time.monotonic()
    with socket_directory() as path, Gateway(path, config, on_call=on_call):
        run = DockerRunner(client).run(inputs, heartbeat=lambda: True, gateway_socket=path)
    return ProgramRun(run, calls, began, inputs.folder.log.read_text(encoding="utf-8"))


def bare_script(agent: Agent, port: str) -> str:
    """Return a shell script that clones the repository and starts the program as Squire does, without anything else."""
    launch = agent.launch(AgentConfig(model=MODEL, protocol=agent.protocols[0]))
    values = {
        Marker.FILES: _FILES,
        Marker.PORT: port,
        Marker.INPUTS: _INPUTS,
        Marker.REPOSITORY: _REPOSITORY,
        Marker.PROMPT: PROMPT,
    }

    def filled(text: str) -> str:
        for mark, value in values.items():
            text = text.replace(mark, value)
        return text

    lines = ["set -e", f"git clone -q -b main {_INPUTS}/repo.bundle {_REPOSITORY}"]
    for root, files in ((_FILES, launch.files), (profile.HOME, launch.home)):
        for name, text in files.items():
            content = base64.b64encode(filled(text).encode()).decode()
            target = shlex.quote(f"{root}/{name}")
            lines += [f"mkdir -p $(dirname {target})", f"echo {content} | base64 -d > {target}"]
    lines += [f"export {name}={shlex.quote(filled(value))}" for name, value in launch.environment.items()]
    start = shlex.join(filled(part) for part in launch.argv)
    stdin = f"printf %s {shlex.quote(filled(launch.stdin))} |" if launch.stdin is not None else ""
    return "\n".join([*lines, f"cd {_REPOSITORY}", f"{stdin} {start} </dev/null" if not stdin else f"{stdin} {start}"])


@contextmanager
def _bare_container(client: docker.DockerClient, origin: Origin, image: str, script: str) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="sq-") as folder:
        inbox = Path(folder)
        inbox.chmod(0o755)
        bundle = inbox / "repo.bundle"
        bundle.write_bytes(origin.bundle.read_bytes())
        bundle.chmod(0o644)
        prompt = inbox / "prompt.md"
        prompt.write_text(PROMPT, encoding="utf-8")
        prompt.chmod(0o644)
        arguments = profile.hardening(
            program_limits(), user=profile.host_user(), seccomp=worker_files.seccomp_profile()
        )
        # The provider listens on the machine's loopback; with the machine's network the program reaches it directly.
        del arguments["hostname"]
        container = client.containers.create(
            image,
            entrypoint=["/bin/sh", "-c", script],
            command=[],
            environment={"HOME": profile.HOME, "TERM": "dumb"},
            mounts=[Mount(_INPUTS, str(inbox), type="bind", read_only=True)],
            **{**arguments, "network_mode": "host"},
        )
        try:
            container.start()
            yield
        except TimeoutError as error:
            raise RuntimeError(f"{error}: {container.logs(tail=20).decode(errors='replace')}") from error
        finally:
            container.remove(force=True)


def seconds_to_first_call_bare(
    client: docker.DockerClient, origin: Origin, agent: Agent, *, image: str, provider: ScriptedProvider
) -> float:
    """Return the seconds from the request for the container to the program's first call. Raises RuntimeError."""
    script = bare_script(agent, provider.root.rpartition(":")[2])
    began = time.monotonic()
    with _bare_container(client, origin, image, script):
        while not provider.arrived:
            if time.monotonic() - began > _WAIT_S:
                raise TimeoutError(f"{agent.name} made no call")
            time.sleep(_POLL_S)
    return provider.arrived[0] - began


MEASURE = (
    "{ echo measured; grep -hE '^(anon|shmem|total_rss|total_shmem) ' /sys/fs/cgroup/memory.stat "
    "/sys/fs/cgroup/memory/memory.stat; du -skc ~ /work/agent | tail -n 1 | sed 's/^/home /'; } "
    "> measured.txt 2>/dev/null || true"
)
"""A command for the model: it writes into the clone what the container uses at that moment."""


@dataclass(frozen=True)
class Room:
    """What a container used, in bytes: memory that cannot be given back, and of it the files in HOME and beside it."""

    memory: int
    home: int

    @classmethod
    def parse(cls, text: str) -> "Room":
        """Return what `MEASURE` has written."""
        values = {words[0]: int(words[1]) for line in text.splitlines() if len(words := line.split()) > 1}
        own = values.get("total_rss", values.get("anon", 0)), values.get("total_shmem", values.get("shmem", 0))
        return cls(sum(own), values["home"] * 1024)
