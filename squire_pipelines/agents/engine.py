"""Finding the container engine and connecting to it. Whatever speaks Docker's API will do."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import docker
import requests
from docker.errors import DockerException

from squire_pipelines.errors import EngineError

HINT = "run `make engine`"


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """The engine that answers at `host`; `runtimes` are the OCI runtimes that it knows."""

    host: str
    name: str
    version: str
    api_version: str
    cpus: int
    memory_bytes: int
    runtimes: tuple[str, ...]


def engine_hosts(environment: Mapping[str, str], uid: int) -> tuple[str, ...]:
    """Where to look, in order.

    `DOCKER_HOST` alone when it is set. Else Docker's default socket, where the scripts build the images, then
    rootless Docker, the user's Podman and the system's Podman.
    """
    if named := environment.get("DOCKER_HOST"):
        return (named,)
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
    return tuple(
        f"unix://{path}"
        for path in (
            "/var/run/docker.sock",
            f"{runtime}/docker.sock",
            f"{runtime}/podman/podman.sock",
            "/run/podman/podman.sock",
        )
    )


def connect(timeout_s: float = 30.0, *, hosts: tuple[str, ...] | None = None) -> docker.DockerClient:
    """A client of the first engine that answers; the caller closes it. Each of its requests takes `timeout_s` at most.

    Raises:
        EngineError: None answers; the message names what was tried.
    """
    tried: list[str] = []
    for host in hosts or engine_hosts(os.environ, os.getuid()):
        try:
            _probe(host, timeout_s)
            # "auto" asks for the version at once, so that a socket without an engine is noticed here.
            return docker.DockerClient(base_url=host, version="auto", timeout=max(1, round(timeout_s)))
        except (DockerException, requests.RequestException, OSError, ValueError) as error:
            tried.append(f"{host}: {_reason(error)}")
    message = f"no container engine answers; tried {'; '.join(tried)}"
    raise EngineError(message, hint=HINT, context={"tried": tried})


def _probe(host: str, timeout_s: float) -> None:
    """Connect once to a Unix socket, since docker-py leaves one behind that did not answer. Raises OSError."""
    if not host.startswith("unix://"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(timeout_s)
        probe.connect(host.removeprefix("unix://"))


def _reason(error: Exception) -> str:
    text = str(error)
    for known in ("Connection refused", "Permission denied", "timed out", "No such file"):
        if known in text:
            return known.lower()
    return text[:200]


def describe(client: docker.DockerClient) -> EngineInfo:
    """What the engine says of itself. Raises EngineError."""
    try:
        info = client.info()
        version = client.version()
    except (DockerException, requests.RequestException) as error:
        message = f"the container engine does not answer: {_reason(error)}"
        raise EngineError(message, hint=HINT) from error
    platform = (version.get("Platform") or {}).get("Name") or "Docker"
    return EngineInfo(
        host=client.api.base_url,
        name=platform,
        version=str(version.get("Version", "")),
        api_version=str(version.get("ApiVersion", "")),
        cpus=int(info.get("NCPU", 0)),
        memory_bytes=int(info.get("MemTotal", 0)),
        runtimes=tuple(sorted(info.get("Runtimes") or {})),
    )


def engine_available(timeout_s: float = 5.0, *, hosts: tuple[str, ...] | None = None) -> EngineInfo | None:
    """The engine that answers within `timeout_s` a request, or None."""
    try:
        client = connect(timeout_s, hosts=hosts)
    except EngineError:
        return None
    try:
        return describe(client)
    except EngineError:
        return None
    finally:
        client.close()
