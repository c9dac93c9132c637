import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from tests.support.worker import Desk, make_desk

ROOT = Path(__file__).parents[3]
BUILD_TIMEOUT_S = 1500


def _build(target: str) -> str:
    done = subprocess.run(
        [str(ROOT / "scripts" / "images.sh"), target],
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)  # noqa: T201 - the size and the time, for whoever runs it with -s
    return next(word for word in done.stdout.split() if word.startswith(f"squire-{target}:"))


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The engine's client; the test is skipped where none answers."""
    try:
        client = docker.from_env(timeout=60)
    except docker.errors.DockerException as error:
        pytest.skip(f"no container engine: {error}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def worker_image(engine: docker.DockerClient) -> str:
    """The worker image's tag, built if its content is not on the engine."""
    assert engine.ping()
    return _build("worker")


@pytest.fixture(scope="session")
def pipeline_image(engine: docker.DockerClient) -> str:
    """The pipeline image's tag, built if its content is not on the engine."""
    assert engine.ping()
    return _build("pipeline")


@dataclass(frozen=True)
class Ended:
    """How a container ended, and what it said."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Sandbox:
    """Starts hardened containers of one image, as the supervisor does."""

    engine: docker.DockerClient
    image: str
    seccomp: str
    started: list[Container]

    def start(self, *, uid: int = 10001, seccomp: str | None = None, **more: Any) -> Container:
        """A started container; it is removed when the test ends."""
        owned = f"uid={uid},gid={uid},mode=0755"
        container = self.engine.containers.run(
            self.image,
            detach=True,
            user=f"{uid}:{uid}",
            read_only=True,
            init=True,
            cap_drop=["ALL"],
            ipc_mode="private",
            network_mode="none",
            security_opt=["no-new-privileges", f"seccomp={seccomp or self.seccomp}"],
            tmpfs={
                "/tmp": f"size=128m,{owned}",  # noqa: S108 - a path in the container
                "/work": f"size=256m,exec,{owned}",
                "/home/agent": f"size=256m,exec,{owned}",
            },
            pids_limit=256,
            mem_limit="1500m",
            memswap_limit="1500m",
            labels={"squire.test": "worker_image"},
            **more,
        )
        self.started.append(container)
        return container

    def run(self, *, timeout_s: int = 120, **more: Any) -> Ended:
        """Runs a container to its end."""
        container = self.start(**more)
        code = int(container.wait(timeout=timeout_s)["StatusCode"])
        streams = [container.logs(stdout=out, stderr=not out).decode(errors="replace") for out in (True, False)]
        return Ended(code, *streams)

    def attempt(self, desk: Desk, *, gateway: Path | None = None, **more: Any) -> Ended:
        """Runs the entrypoint on the desk's inputs."""
        return self.run(**self.mounts(desk, gateway), **more)

    @staticmethod
    def mounts(desk: Desk, gateway: Path | None = None) -> dict[str, Any]:
        """The bind mounts and the environment of an attempt; `gateway` is the folder with gateway.sock."""
        desk.out.chmod(0o777)
        volumes = {
            str(desk.inbox): {"bind": "/in", "mode": "ro"},
            str(desk.out): {"bind": "/out", "mode": "rw"},
        }
        environment = {}
        if gateway is not None:
            volumes[str(gateway)] = {"bind": "/run/squire", "mode": "ro"}
            environment["SQUIRE_GATEWAY_SOCKET"] = "/run/squire/gateway.sock"
        return {"volumes": volumes, "environment": environment}


@pytest.fixture
def sandbox(engine: docker.DockerClient, worker_image: str) -> Iterator[Sandbox]:
    """Hardened containers of the worker image."""
    seccomp = (ROOT / "worker-image" / "seccomp.json").read_text(encoding="utf-8")
    made = Sandbox(engine, worker_image, seccomp, [])
    yield made
    for container in made.started:
        container.remove(force=True)


@pytest.fixture
def desk_for(tmp_path: Path) -> Callable[..., Desk]:
    """Makes the folders of one attempt with the given agent."""

    def make(command: list[str] | None = None, **more: str) -> Desk:
        return make_desk(tmp_path / "desk", command=command, **more)

    return make


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket in it (107 bytes)."""
    folder = Path(tempfile.mkdtemp(prefix="squire-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
