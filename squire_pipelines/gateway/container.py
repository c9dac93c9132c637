"""The gateway in a container of its own, as its supervisor sees it: made, told its order, heard, removed.

For engines that do not carry a Unix socket from this machine into a container. The socket lies in a volume that the
agent's container mounts; the key goes in by standard input and is in no file, label, variable or argument. The call log
lies in the container and is fetched when its gateway has ended.
"""

import contextlib
import os
import re
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
import structlog
from docker.errors import APIError, DockerException, NotFound
from docker.types import Mount
from docker.utils.socket import SocketError, frames_iter

from squire_pipelines.agents import files, profile, reap
from squire_pipelines.agents.model import SharedSocket
from squire_pipelines.errors import EngineError, ImageMissingError, LeaseLostError, NotReachableError, SquireError
from squire_pipelines.gateway.egress import HostCount
from squire_pipelines.gateway.model import GatewayCall, Totals
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
from squire_pipelines.sections import LimitSettings

_MIB = 2**20
_LIMITS = LimitSettings(
    cpus=1, memory=1024 * _MIB, pids=128, workspace=_MIB, home=16 * _MIB, tmp=16 * _MIB, output=512 * _MIB
)
_START_S = 60.0
_END_S = 15.0
_MAX_LOG_BYTES = 512 * _MIB
_LOG_FILE = re.compile(r"calls-[0-9a-f]{8}\.(?:jsonl|open|bodies)")
_log = structlog.get_logger(__name__)


def name_of(attempt_id: str) -> str:
    """Of an attempt's gateway's container, and of its socket's volume: always the same, so that they are found."""
    return profile.container_name(f"{attempt_id}-gateway")


@dataclass(frozen=True, slots=True)
class ContainerPlacement:
    """Where the container runs.

    Args:
        client: Of the engine that runs the agent.
        image: The pipeline's, with our own code in it.
        network: Of the engine's networks, one by which the provider is reached.
        labels: The attempt's; its role is put in here.
    """

    client: docker.DockerClient
    image: str
    network: str = "bridge"
    labels: Mapping[str, str] = field(default_factory=dict)


class ContainerGateway:
    """`with ContainerGateway(...) as gateway:` serves until the block ends; as `server.Gateway` does, elsewhere.

    Args:
        order: What it serves.
        housing: Where.
        on_call: Told of each call in a thread of this object's.
        log_folder: Where the call log is brought to at the end.

    Raises:
        ImageMissingError: The engine lacks the pipeline's image.
        EngineError: The engine does not answer, or refuses.
        NotReachableError: The gateway did not start.
    """

    def __init__(
        self,
        order: GatewayConfig,
        housing: ContainerPlacement,
        *,
        on_call: Callable[[GatewayCall], None],
        log_folder: Path,
    ) -> None:
        self._order = order
        self._housing = housing
        self._on_call = on_call
        self._log_folder = log_folder
        self._name = name_of(order.attempt_id)
        self._id = ""
        self._report = GatewayStatus(totals=order.before)
        self._started = threading.Event()
        self._leaving = False
        self._socket: Any = None
        self._thread = threading.Thread(target=self._listen, name="squire-gateway-reports", daemon=True)
        self.socket = SharedSocket(self._name, SOCKET_NAME)

    @property
    def totals(self) -> Totals:
        """What the attempt has used, as it was last told."""
        return self._report.totals

    @property
    def exhausted(self) -> str | None:
        """Which cap the attempt has met, in words; None while it has met none."""
        return self._report.exhausted

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Models that were to be called and whose price nobody knows."""
        return self._report.unpriced

    @property
    def hosts(self) -> Mapping[str, HostCount]:
        """What passed to and from each host of the way out."""
        return self._report.hosts

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._clear)  # unless it started
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
        api = self._housing.client.api
        image = _image_id(self._housing)
        reap.remove(self._housing.client, self._name, attempt_id=self._order.attempt_id)
        uid, gid = profile.host_user()
        labels = {**self._housing.labels, profile.LABEL_ROLE: profile.ROLE_GATEWAY}
        # Of memory, so that it has an owner and a bound: anybody else's volume would be root's.
        options = {"type": "tmpfs", "device": "tmpfs", "o": f"size=64k,mode=0711,uid={uid},gid={gid}"}
        api.create_volume(self._name, driver="local", driver_opts=options, labels=labels)
        made = profile.hardening(_LIMITS, user=(uid, gid), seccomp=files.seccomp_profile())
        del made["tmpfs"]["/work"], made["tmpfs"]["/home/agent"]
        container = self._housing.client.containers.create(
            **made
            | {
                "image": image,
                "name": self._name,
                "labels": labels,
                "entrypoint": ["python", "-m", "squire_pipelines.gateway"],
                "command": [],
                "network_mode": self._housing.network,
                "stdin_open": True,  # and once: it ends with our connection
                "mounts": [
                    Mount(SOCKET_FOLDER, self._name, type="volume"),
                    # Without a name: removed with its container. It takes the rights of the image's folder.
                    Mount(str(PurePosixPath(LOG_FOLDER).parent), None, type="volume"),
                ],
            }
        )
        self._id = str(container.id)
        self._socket = api.attach_socket(self._id, params={"stdin": 1, "stdout": 1, "stream": 1})
        self._thread.start()
        api.start(self._id)
        raw = self._raw_socket()
        raw.settimeout(None)  # the client's time-out is for answers; this one is silent while nothing happens
        raw.sendall(CONFIG_LINE.write(self._order))
        if not self._started.wait(_START_S) or not self._thread.is_alive():
            said = self._stderr_tail()
            raise NotReachableError(
                f"the gateway's container did not start: {said or 'it says nothing'}",
                hint="build the pipeline's image of this version: scripts/images.sh pipeline",
            )

    def _raw_socket(self) -> Any:
        return getattr(self._socket, "_sock", self._socket)

    def _stderr_tail(self) -> str:
        said = self._housing.client.api.logs(self._id, stdout=False, stderr=True, tail=5).decode(errors="replace")
        return said.replace(self._order.api_key, "[redacted]")[-500:].strip() if self._order.api_key else said[-500:]

    def _listen(self) -> None:
        rest = bytearray()
        try:
            frames: Iterator[tuple[int, bytes]] = frames_iter(self._socket, tty=False)  # type: ignore[no-untyped-call]
            for _, piece in frames:
                rest += piece
                while b"\n" in rest:
                    line, _, after = bytes(rest).partition(b"\n")
                    rest = bytearray(after)
                    self._take(line)
                if len(rest) > MAX_STATUS_BYTES:
                    _log.warning("gateway.report_too_long", container=self._name)
                    rest.clear()
        except (OSError, ValueError, SocketError, DockerException) as error:
            _log.warning("gateway.reports_ended", container=self._name, reason=str(error)[:200])
        if not self._leaving:
            _log.warning("gateway.container_ended", container=self._name)
        self._started.set()  # whoever waits need not wait on

    def _take(self, line: bytes) -> None:
        try:
            report = STATUS_LINE.read(line)
        except SquireError as error:
            _log.warning("gateway.report_unreadable", container=self._name, reason=error.message)
            return
        self._report = report
        self._started.set()
        if report.call is not None:
            self._on_call(report.call)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        with contextlib.suppress(OSError):  # the gateway has ended already
            self._raw_socket().shutdown(socket.SHUT_WR)
        self._thread.join(_END_S)
        # Another run that goes on with the attempt has a gateway of the same name, and its agent the same volume.
        self._clear(bring=True, volume=not isinstance(error, LeaseLostError))

    def _clear(self, *, bring: bool = False, volume: bool = True) -> None:
        """Remove what there is; what the engine keeps from us now, the reaper will find."""
        client, attempt_id = self._housing.client, self._order.attempt_id
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
            for each in (self._socket, self._raw_socket(), getattr(self._socket, "_response", None)):
                if each is not None:
                    with contextlib.suppress(OSError, ValueError):  # urllib3 flushes what is closed already
                        each.close()
            self._socket = None


def _image_id(housing: ContainerPlacement) -> str:
    try:
        return str(housing.client.images.get(housing.image).id)
    except NotFound as error:
        raise ImageMissingError(
            f"the gateway's container needs the image {housing.image}, which is not on the engine",
            hint="run `scripts/images.sh pipeline`",
            context={"image": housing.image},
        ) from error


def bring_log(client: docker.DockerClient, attempt_id: str, folder: Path, *, container_id: str | None = None) -> bool:
    """End the attempt's gateway, if its container is there, and bring its call log to `folder`; whether it was there.

    May be repeated. Raises EngineError.
    """
    found = reap.find(client, container_id or name_of(attempt_id))
    if found is None or found.attempt_id != attempt_id or found.role != profile.ROLE_GATEWAY:
        return False
    try:
        if found.running:
            client.api.stop(found.container_id, timeout=10)
        try:
            pieces, _ = client.api.get_archive(found.container_id, LOG_FOLDER)
        except NotFound:
            return True  # it had not begun
        with tempfile.TemporaryFile() as archive:
            for piece in pieces:
                archive.write(piece)
                if archive.tell() > _MAX_LOG_BYTES:
                    raise EngineError(f"the call log of {attempt_id} is larger than {_MAX_LOG_BYTES} bytes")
            archive.seek(0)
            _unpack(archive, folder)
    except (DockerException, requests.RequestException, OSError, tarfile.TarError) as error:
        raise EngineError(
            f"the call log of {attempt_id} cannot be brought from its container: {str(error)[:300]}"
        ) from error
    return True


def _unpack(archive: IO[bytes], folder: Path) -> None:
    """Its regular files that a call log may have, each whole or not at all."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tarfile.open(fileobj=archive) as members:
        for member in members:
            name = PurePosixPath(member.name).name
            content = members.extractfile(member) if member.isreg() and _LOG_FILE.fullmatch(name) else None
            if content is None:
                continue
            written = folder / f".{name}"
            with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                while piece := content.read(_MIB):
                    out.write(piece)
            written.replace(folder / name)


def remove_volume(client: docker.DockerClient, attempt_id: str) -> bool:
    """Remove the volume of the attempt's socket; False when there is none, or it is in use. Raises EngineError."""
    try:
        client.api.remove_volume(name_of(attempt_id))
    except NotFound:
        return False
    except APIError as error:
        if error.status_code != reap.CONFLICT:
            raise _lost(error) from error
        return False
    except (DockerException, requests.RequestException) as error:
        raise _lost(error) from error
    return True


def volumes(client: docker.DockerClient) -> tuple[str, ...]:
    """The attempts of which there is a socket's volume. Raises EngineError."""
    try:
        found = client.api.volumes(filters={"label": f"{profile.LABEL_ROLE}={profile.ROLE_GATEWAY}"})
    except (DockerException, requests.RequestException) as error:
        raise _lost(error) from error
    marks = [each.get("Labels") or {} for each in found.get("Volumes") or ()]
    return tuple(each[profile.LABEL_ATTEMPT] for each in marks if profile.LABEL_ATTEMPT in each)


def _lost(error: Exception) -> EngineError:
    return EngineError(f"the container engine does not answer as it should: {str(error)[:300]}")
