"""The gateway in a container of its own, as its supervisor sees it: made, configured, listened to, removed.

For engines that do not carry a Unix socket from this machine into a container. The socket lies in a volume that the
agent's container mounts; the key goes in by standard input and is in no file, label, variable or argument. The call log
lies in the container and is fetched when its gateway has ended.
"""

import contextlib
import re
import shutil
import socket
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, Self

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.types import Mount
from docker.utils.socket import SocketError, frames_iter

from squire_pipelines.agents import profile, reap, worker_files
from squire_pipelines.agents.engine import engine_errors
from squire_pipelines.agents.engine_kinds import create_container
from squire_pipelines.agents.model import SharedSocket
from squire_pipelines.errors import EngineError, ImageMissingError, LeaseLostError, NotReachableError, SquireError
from squire_pipelines.files import open_atomically
from squire_pipelines.gateway.model import GatewayCall
from squire_pipelines.gateway.server import SOCKET_NAME
from squire_pipelines.gateway.wire import (
    CONFIG_LINE,
    LOG_FOLDER,
    MAX_STATUS_BYTES,
    SOCKET_FOLDER,
    STATUS_LINE,
    GatewayConfig,
    GatewayStatus,
)
from squire_pipelines.home import make_folder
from squire_pipelines.observability.logging import Component, get_logger, with_context
from squire_pipelines.secrets.redact import process_redactor
from squire_pipelines.sections.agents import LimitSettings

_MIB = 2**20
_LIMITS = LimitSettings(
    cpus=1, memory=1024 * _MIB, pids=128, workspace=_MIB, home=16 * _MIB, tmp=16 * _MIB, output=512 * _MIB
)
_START_S = 60.0
_END_S = 15.0
_MAX_LOG_BYTES = 512 * _MIB
_MAX_LINES = 10_000
_MAX_LINES_BYTES = 4 * _MIB
LINES_FILE = "gateway.log"
"""What the gateway itself wrote, beside its call log."""

_NO_ANSWER = "the container engine does not answer as it should"
_LOG_FILE = re.compile(r"calls-[0-9a-f]{8}\.(?:jsonl|open|bodies)")
_log = get_logger(Component.GATEWAY)


def gateway_name(attempt_id: str) -> str:
    """Return the name of the gateway's container and of its socket's volume, by which a later process finds them."""
    return profile.container_name(f"{attempt_id}-gateway")


@dataclass(frozen=True, slots=True)
class ContainerPlacement:
    """Where the container runs.

    Args:
        client: Of the engine that runs the agent.
        image: The pipeline's, with our own code in it.
        network: One of the engine's networks, by which the provider is reached.
        labels: The attempt's; the container's role is added to them.
    """

    client: docker.DockerClient
    image: str
    network: str = "bridge"
    labels: Mapping[str, str] = field(default_factory=dict)


class ContainerGateway:
    """Does what `server.Gateway` does, in a container: `with ContainerGateway(...):` serves until the block ends.

    Args:
        config: What it serves.
        placement: Where the container runs.
        on_call: Called with each call that has ended, in a thread of this object's.
        log_folder: Where the call log is brought to at the end.

    Raises:
        ImageMissingError: The engine lacks the pipeline's image.
        EngineError: The engine does not answer, or refuses.
        NotReachableError: The gateway did not start.
    """

    def __init__(
        self,
        config: GatewayConfig,
        placement: ContainerPlacement,
        *,
        on_call: Callable[[GatewayCall], None],
        log_folder: Path,
    ) -> None:
        self._config = config
        self._placement = placement
        self._on_call = on_call
        self._log_folder = log_folder
        self._name = gateway_name(config.attempt_id)
        self._id = ""
        self.status = GatewayStatus(totals=config.before)
        self._started = threading.Event()
        self._leaving = False
        self._socket: Any = None
        self._thread = threading.Thread(target=with_context(self._listen), name="squire-gateway-status", daemon=True)
        self.socket = SharedSocket(self._name, SOCKET_NAME)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove)  # unless it started
            try:
                self._start()
            except (DockerException, requests.RequestException, OSError) as error:
                raise EngineError(
                    f"the gateway's container could not be started: {str(error)[:300]}",
                    hint="gateway.network has to be one of the engine's networks",
                ) from error
            stack.pop_all()
        return self

    def _start(self) -> None:
        client, api = self._placement.client, self._placement.client.api
        image = _image_id(self._placement)
        reap.remove(client, self._name, attempt_id=self._config.attempt_id)
        uid, gid = profile.host_user()
        labels = {**self._placement.labels, profile.LABEL_ROLE: profile.ROLE_GATEWAY}
        # Of memory, so that it has an owner and a bound: anybody else's volume would be root's.
        options = {"type": "tmpfs", "device": "tmpfs", "o": f"size=64k,mode=0711,uid={uid},gid={gid}"}
        api.create_volume(self._name, driver="local", driver_opts=options, labels=labels)
        hardening = profile.hardening(_LIMITS, user=(uid, gid), seccomp=worker_files.seccomp_profile())
        hardening["tmpfs"] = {"/tmp": hardening["tmpfs"]["/tmp"]}  # noqa: S108 - the container's own
        container = create_container(
            client,
            **hardening
            | {
                "image": image,
                "name": self._name,
                "labels": labels,
                "entrypoint": ["python", "-m", "squire_pipelines.gateway"],
                "command": [],
                "network_mode": self._placement.network,
                "stdin_open": True,  # and once: it ends with our connection
                "mounts": [
                    Mount(SOCKET_FOLDER, self._name, type="volume"),
                    # Without a name: removed with its container. It takes the rights of the image's folder.
                    Mount(str(PurePosixPath(LOG_FOLDER).parent), None, type="volume"),
                ],
            },
        )
        self._id = str(container.id)
        self._socket = api.attach_socket(self._id, params={"stdin": 1, "stdout": 1, "stream": 1})
        self._thread.start()
        api.start(self._id)
        raw = self._raw_socket()
        raw.settimeout(None)  # the client's time-out is for answers; this one is silent while nothing happens
        raw.sendall(CONFIG_LINE.write(self._config))
        if not self._started.wait(_START_S) or not self._thread.is_alive():
            raise NotReachableError(
                f"the gateway's container did not start: {self._stderr_tail() or 'it wrote no error'}",
                hint="build the pipeline's image of this version: scripts/images.sh pipeline",
            )

    def _raw_socket(self) -> Any:
        return getattr(self._socket, "_sock", self._socket)

    def _stderr_tail(self) -> str:
        lines = self._placement.client.api.logs(self._id, stdout=False, stderr=True, tail=5).decode(errors="replace")
        for upstream in self._config.upstreams:
            if upstream.api_key:
                lines = lines.replace(upstream.api_key, "[redacted]")
        return lines[-500:].strip()

    def _listen(self) -> None:
        rest = bytearray()
        try:
            frames: Iterator[tuple[int, bytes]] = frames_iter(self._socket, tty=False)  # type: ignore[no-untyped-call]
            for _, piece in frames:
                rest += piece
                while b"\n" in rest:
                    line, _, after = bytes(rest).partition(b"\n")
                    rest = bytearray(after)
                    self._read_status(line)
                if len(rest) > MAX_STATUS_BYTES:
                    _log.warning("gateway.status_too_long", container=self._name)
                    rest.clear()
        except (OSError, ValueError, SocketError, DockerException) as error:
            _log.warning("gateway.status_lines_ended", container=self._name, reason=str(error)[:200])
        if not self._leaving:
            _log.warning("gateway.container_ended", container=self._name)
        self._started.set()  # nobody need wait any longer

    def _read_status(self, line: bytes) -> None:
        try:
            status = STATUS_LINE.read(line)
        except SquireError as error:
            _log.warning("gateway.status_unreadable", container=self._name, reason=error.message)
            return
        self.status = status
        self._started.set()
        if status.call is not None:
            self._on_call(status.call)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        with contextlib.suppress(OSError):  # the gateway has ended already
            self._raw_socket().shutdown(socket.SHUT_WR)
        self._thread.join(_END_S)
        # Another run that goes on with the attempt has a gateway of the same name, and its agent the same volume.
        self._remove(bring=True, volume=not isinstance(error, LeaseLostError))

    def _remove(self, *, bring: bool = False, volume: bool = True) -> None:
        """Remove container, volume and connection; the reaper removes later what the engine refuses to remove now."""
        client, attempt_id = self._placement.client, self._config.attempt_id
        try:
            if self._id:
                if bring:
                    bring_log(client, attempt_id, self._log_folder, container_id=self._id)
                reap.remove(client, self._id, attempt_id=attempt_id)
            if volume:
                remove_volume(client, attempt_id)
        except SquireError as error:
            _log.warning("gateway.container_left", container=self._name, reason=error.message)
        if self._socket is not None:
            # The answer, the file that is read, and the socket below it: docker-py closes none with another.
            for part in (self._socket, self._raw_socket(), getattr(self._socket, "_response", None)):
                if part is not None:
                    with contextlib.suppress(OSError, ValueError):  # urllib3 flushes what is closed already
                        part.close()
            self._socket = None


def _image_id(placement: ContainerPlacement) -> str:
    try:
        return str(placement.client.images.get(placement.image).id)
    except NotFound as error:
        raise ImageMissingError(
            f"the gateway's container needs the image {placement.image}, which is not on the engine",
            hint="run `scripts/images.sh pipeline`",
            context={"image": placement.image},
        ) from error


def bring_log(client: docker.DockerClient, attempt_id: str, folder: Path, *, container_id: str | None = None) -> bool:
    """End the attempt's gateway and bring its call log to `folder`; return whether its container was there.

    May be repeated. Raises EngineError.
    """
    gateway = reap.find(client, container_id or gateway_name(attempt_id))
    if gateway is None or gateway.attempt_id != attempt_id or gateway.role != profile.ROLE_GATEWAY:
        return False
    try:
        with engine_errors(f"the call log of {attempt_id} cannot be brought from its container"):
            if gateway.running:
                client.api.stop(gateway.container_id, timeout=10)
            _bring_lines(client, gateway.container_id, folder)
            try:
                pieces, _ = client.api.get_archive(gateway.container_id, LOG_FOLDER)
            except NotFound:
                return True  # it had not begun
            with tempfile.TemporaryFile() as archive:
                for piece in pieces:
                    archive.write(piece)
                    if archive.tell() > _MAX_LOG_BYTES:
                        raise EngineError(f"the call log of {attempt_id} is larger than {_MAX_LOG_BYTES} bytes")
                archive.seek(0)
                _unpack(archive, folder)
    except (OSError, tarfile.TarError) as error:
        raise EngineError(f"the call log of {attempt_id} cannot be unpacked: {str(error)[:300]}") from error
    return True


def _bring_lines(client: docker.DockerClient, container_id: str, folder: Path) -> None:
    """Keep the last lines that the gateway wrote, without secrets, where `squire logs` reads them."""
    lines = client.api.logs(container_id, stdout=False, stderr=True, tail=_MAX_LINES)
    text = process_redactor().redact(bytes(lines[-_MAX_LINES_BYTES:]).decode(errors="replace"))
    if text:
        with (make_folder(folder) / LINES_FILE).open("a", encoding="utf-8") as file:
            file.write(text)


def _unpack(archive: IO[bytes], folder: Path) -> None:
    """Write the archive's regular files that a call log may have, each whole or not at all."""
    make_folder(folder)
    with tarfile.open(fileobj=archive) as members:
        for member in members:
            name = PurePosixPath(member.name).name
            content = members.extractfile(member) if member.isreg() and _LOG_FILE.fullmatch(name) else None
            if content is None:
                continue
            with open_atomically(folder / name, durable=False) as out:
                shutil.copyfileobj(content, out)


def remove_volume(client: docker.DockerClient, attempt_id: str) -> bool:
    """Remove the volume of the attempt's socket; False when there is none, or it is in use. Raises EngineError."""
    with engine_errors(_NO_ANSWER):
        try:
            client.api.remove_volume(gateway_name(attempt_id))
        except APIError as error:
            if not isinstance(error, NotFound) and error.status_code != reap.CONFLICT:
                raise
            return False
    return True


def list_volumes(client: docker.DockerClient) -> tuple[str, ...]:
    """Return the attempts of which there is a socket's volume. Raises EngineError."""
    with engine_errors(_NO_ANSWER):
        answer = client.api.volumes(filters={"label": f"{profile.LABEL_ROLE}={profile.ROLE_GATEWAY}"})
    labels = [volume.get("Labels") or {} for volume in answer.get("Volumes") or ()]
    return tuple(entry[profile.LABEL_ATTEMPT] for entry in labels if profile.LABEL_ATTEMPT in entry)
