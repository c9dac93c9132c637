"""Finds the container engine and connects to it. Whatever speaks Docker's API will do."""

import contextlib
import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import DockerException, ImageNotFound

from squire_pipelines.agents.endings import image_hint
from squire_pipelines.agents.engine_kinds import EngineKind, is_gvisor, kind_of
from squire_pipelines.deadline import Deadline
from squire_pipelines.errors import EngineError, ImageMissingError
from squire_pipelines.observability.logging import Component, get_logger

_log = get_logger(Component.AGENT)
HINT = "run `make engine`"
# Docker 20.10's, the oldest that the tests run on; Podman says it speaks it since 4.0.
MIN_API = (1, 41)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """The engine that answers at `host`.

    `runtimes` are the OCI runtimes that it knows, `root` is its data's folder, `answer` all that it says of itself.
    """

    host: str
    name: str
    version: str
    api_version: str
    cpus: int
    memory_bytes: int
    runtimes: tuple[str, ...]
    root: str = ""
    kind: EngineKind = EngineKind.DOCKER
    answer: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def in_gvisor(self, runtime: str | None) -> bool:
        """Return whether containers of a runtime, by default the engine's own, run in gVisor."""
        return is_gvisor(self.answer, runtime)

    def is_older_than(self, api: tuple[int, int]) -> bool:
        """Return whether its API is older than `api`; an engine that does not tell counts as new."""
        version = re.fullmatch(r"(\d{1,9})\.(\d{1,9})", self.api_version)
        return version is not None and (int(version[1]), int(version[2])) < api


class _ApiClient(docker.APIClient):
    """Docker's client, all of whose requests together are over by a deadline."""

    def __init__(self, deadline: Deadline | None, **options: Any) -> None:
        self._deadline = deadline
        super().__init__(**options)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request with what is left of the time. Raises Timeout when nothing is."""
        if self._deadline is not None:
            if self._deadline.is_past:
                raise requests.Timeout("the time for the engine's answers timed out")
            options["timeout"] = min(options.get("timeout") or self.timeout, self._deadline.remaining_s)
        _log.debug("engine.request", method=request.method, url=request.url)
        return super().send(request, **options)


class _Client(docker.DockerClient):
    def __init__(self, api: _ApiClient) -> None:  # Docker's own makes an APIClient, and asks the engine for it
        self.api = api


@contextlib.contextmanager
def engine_errors(message: str) -> Iterator[None]:
    """Raise the errors of the engine's client within the block as EngineError: `message`, then the reason."""
    try:
        yield
    except (DockerException, requests.RequestException) as error:
        raise EngineError(f"{message}: {str(error)[:300]}", hint=HINT) from error


def engine_hosts(environment: Mapping[str, str], uid: int) -> tuple[str, ...]:
    """Return where to look, in order.

    `DOCKER_HOST` alone when it is set. Else the user's Podman and the system's, then Docker's default: the context
    that `docker context use` chose, the system's socket, and rootless Docker's.
    """
    if named := environment.get("DOCKER_HOST"):
        return (named,)
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
    context_host = _context_host(environment)
    hosts = [
        f"unix://{runtime}/podman/podman.sock",
        "unix:///run/podman/podman.sock",
        *([context_host] if context_host else []),
        "unix:///var/run/docker.sock",
        f"unix://{runtime}/docker.sock",
    ]
    return tuple(dict.fromkeys(hosts))


def _context_host(environment: Mapping[str, str]) -> str | None:
    """Return the endpoint of Docker's current context as its command line keeps it; None for the default one."""
    folder = Path(environment.get("DOCKER_CONFIG") or Path(environment.get("HOME") or "/nonexistent") / ".docker")
    try:
        name = (
            environment.get("DOCKER_CONTEXT")
            or json.loads((folder / "config.json").read_text("utf-8"))["currentContext"]
        )
        if name == "default":
            return None
        meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
        return str(json.loads(meta.read_text("utf-8"))["Endpoints"]["docker"]["Host"]) or None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # there is none, or it is not this machine's: the sockets are tried


def connect(
    timeout_s: float = 30.0,
    *,
    hosts: tuple[str, ...] | None = None,
    image: str | None = None,
    deadline: Deadline | None = None,
) -> docker.DockerClient:
    """Return a client of the first engine that answers, whose requests take at most `timeout_s`; the caller closes it.

    With `image`, the first that has it is taken, and only if none has it the first that answers: where both Podman
    and Docker run, the images were built with one of them. With `deadline`, finding one and all of its requests
    together take no longer than that.

    Raises:
        EngineError: None answers; the message names what was tried.
    """
    tried: list[str] = []
    first: docker.DockerClient | None = None
    for host in hosts or engine_hosts(os.environ, os.getuid()):
        try:
            client = _open(host, timeout_s, deadline)
        except (DockerException, requests.RequestException, OSError, ValueError) as error:
            tried.append(f"{host}: {_reason(error)}")
            continue
        if image is None or _has(client, image):
            if first is not None:
                first.close()
            return client
        if first is None:
            first = client
        else:
            client.close()
    if first is not None:
        return first
    raise EngineError(f"no container engine answers; tried {'; '.join(tried)}", hint=HINT, context={"tried": tried})


@contextlib.contextmanager
def connect_all(
    timeout_s: float = 10.0, *, hosts: tuple[str, ...] | None = None, deadline: Deadline | None = None
) -> Iterator[list[docker.DockerClient]]:
    """Yield clients of all engines that answer, which may be none, and close them at the end.

    A request takes at most `timeout_s`; with `deadline`, all of them together take no longer than that.
    """
    clients: list[docker.DockerClient] = []
    tried: set[str] = set()
    try:
        for host in hosts or engine_hosts(os.environ, os.getuid()):
            path = os.path.realpath(host.removeprefix("unix://")) if host.startswith("unix://") else host
            if path in tried:
                continue
            tried.add(path)
            try:
                clients.append(_open(host, timeout_s, deadline))
            except (DockerException, requests.RequestException, OSError, ValueError):
                continue  # no engine there is an answer too: whoever needs one calls `connect`
        yield clients
    finally:
        for client in clients:
            client.close()


def _open(host: str, timeout_s: float, deadline: Deadline | None) -> docker.DockerClient:
    _probe(host, timeout_s if deadline is None else min(timeout_s, max(0.001, deadline.remaining_s)))
    # "auto" asks for the version at once, so that a socket without an engine is noticed here.
    return _Client(_ApiClient(deadline, base_url=host, version="auto", timeout=max(1, round(timeout_s))))


def image_attributes(client: docker.DockerClient, image: str) -> dict[str, Any]:
    """Return what the engine says of an image. Raises ImageMissingError, EngineError."""
    with engine_errors(f"the engine does not say whether it has the image {image}"):
        try:
            return dict(client.images.get(image).attrs)
        except ImageNotFound as error:
            raise ImageMissingError(
                f"the image {image} is not on the engine at {client.api.base_url}",
                hint=image_hint(image),
                context={"image": image},
            ) from error


def _has(client: docker.DockerClient, image: str) -> bool:
    with contextlib.suppress(EngineError, ImageMissingError):
        return bool(image_attributes(client, image))
    return False


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


def is_local(client: docker.DockerClient) -> bool:
    """Return whether the engine is reached by a Unix socket, so that it most likely shares this machine's files."""
    return bool(client.api.base_url == "http+docker://localhost")  # docker-py's name for every such socket


def describe(client: docker.DockerClient) -> EngineInfo:
    """Return what the engine says of itself. Raises EngineError."""
    with engine_errors("the container engine does not answer"):
        info = client.info()
        version = client.version()
    kind = kind_of(version)
    platform = (version.get("Platform") or {}).get("Name") or kind.value
    return EngineInfo(
        host=client.api.base_url,
        name=platform if kind is EngineKind.DOCKER else kind.value,
        version=str(version.get("Version", "")),
        api_version=str(version.get("ApiVersion", "")),
        cpus=int(info.get("NCPU", 0)),
        memory_bytes=int(info.get("MemTotal", 0)),
        runtimes=tuple(sorted(info.get("Runtimes") or {})),
        root=str(info.get("DockerRootDir") or ""),
        kind=kind,
        answer=info,
    )


def engine_available(timeout_s: float = 5.0, *, hosts: tuple[str, ...] | None = None) -> EngineInfo | None:
    """Return the engine that answers within `timeout_s` a request, or None."""
    try:
        with contextlib.closing(connect(timeout_s, hosts=hosts)) as client:
            return describe(client)
    except EngineError:
        return None
