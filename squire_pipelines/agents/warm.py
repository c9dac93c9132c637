"""Warm containers: made ahead, with nothing of a task in them, and waiting for an attempt's order.

Here is what they are and how one is taken; `warm_pool` makes and removes them. Who moves a slot's folder away has the
slot: the file system does that for one alone, while two may rename a container at once and both be told that they did.
The order goes through a named pipe. Opening it fails unless the container waits at its other end, so that an order
never lies unread, and a container that is not well is noticed at once.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import structlog
from docker.errors import APIError, NotFound
from docker.types import Mount

from squire_pipelines.agents import profile, reap
from squire_pipelines.agents.adapters import caches as package_caches
from squire_pipelines.agents.adapters.caches import Cache
from squire_pipelines.agents.model import AttemptFolder, AttemptInputs, GatewaySocket, SharedSocket
from squire_pipelines.sections import LimitSettings

ORDER = ".order"
"""The pipe's name in the container's `/in`."""
MAX_ORDER_BYTES = 4096
"""What a pipe takes at once (PIPE_BUF on Linux): an order is there whole or not at all."""
LABEL_HOME = "squire.home"
_TRIES = 5
_ORDER_TRIES, _ORDER_PAUSE_S = 10, 0.05
_NOT_TAKEN = frozenset({404, 409})
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WarmProfile:
    """All that the engine fixes when it makes a container: attempts that agree in it may take each other's place.

    Args:
        image: The image's id.
        gateway: Whether there is a place for a gateway's socket.
    """

    image: str
    limits: LimitSettings
    caches: tuple[Cache, ...]
    gateway: bool
    seccomp: str
    runtime: str | None = None

    @property
    def key(self) -> str:
        """The name of the folder of such slots."""
        parts = [self._hardening(), self.image, [str(cache) for cache in self.caches], self.gateway]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def _hardening(self) -> dict[str, Any]:
        return profile.hardening(self.limits, user=profile.host_user(), seccomp=self.seccomp, runtime=self.runtime)

    def create_arguments(self, slot: "Slot", *, home: Path, wait_s: float) -> dict[str, Any]:
        """The keyword arguments of docker-py's `containers.create`. Without an order it ends after `wait_s`."""
        mounts = [
            Mount("/in", str(slot.inbox), type="bind", read_only=True),
            Mount("/out", str(slot.out), type="bind"),
        ]
        if self.gateway:
            mounts.append(Mount(profile.GATEWAY_MOUNT, str(slot.gateway), type="bind", read_only=True))
        return self._hardening() | {
            "image": self.image,
            "name": profile.warm_name(slot.name),
            "labels": {
                profile.LABEL_ROLE: profile.ROLE_AGENT,
                profile.LABEL_SLOT: slot.name,
                LABEL_HOME: str(home),
            },
            "environment": {
                "HOME": profile.HOME,
                "SQUIRE_ORDER": f"/in/{ORDER}",
                "SQUIRE_ORDER_WAIT_S": f"{wait_s:.0f}",
            },
            "mounts": mounts + package_caches.mounts(self.caches),
        }


@dataclass(frozen=True, slots=True)
class Slot:
    """The folder of one warm container: what it has mounted as `/in`, `/out` and the gateway's place."""

    folder: Path

    @property
    def name(self) -> str:
        """Its name, which is its container's too."""
        return self.folder.name

    @property
    def inbox(self) -> Path:
        """`/in`: the pipe, later the attempt's inputs."""
        return self.folder / "in"

    @property
    def out(self) -> Path:
        """`/out`: becomes the attempt's."""
        return self.folder / "out"

    @property
    def gateway(self) -> Path:
        """`/run/squire`: later a second name of the gateway's socket."""
        return self.folder / "gateway"

    @property
    def order(self) -> Path:
        """The pipe."""
        return self.inbox / ORDER

    def make(self) -> None:
        """Lay it out, with the rights of an attempt's folder. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True)
        for directory, mode in ((self.inbox, 0o755), (self.out, 0o777), (self.gateway, 0o711)):
            directory.mkdir()
            directory.chmod(mode)
        os.mkfifo(self.order)
        self.order.chmod(0o644)

    def moved_to(self, place: Path) -> "Slot | None":
        """The slot at `place`, which is nobody else's then; None when somebody was quicker. Raises OSError."""
        shutil.rmtree(place, ignore_errors=True)  # of an earlier try
        try:
            self.folder.rename(place)
        except FileNotFoundError:
            return None
        return Slot(place)


@dataclass(frozen=True, slots=True)
class Taken:
    """A warm container that is the attempt's now and waits for its order."""

    found: reap.FoundContainer
    slot: Slot
    told: dict[str, str]

    def give_order(self) -> bool:
        """Let it begin; False when it does not wait, and has not begun. Takes half a second at most."""
        text = json.dumps({"environment": self.told}).encode()
        if len(text) > MAX_ORDER_BYTES:
            return False
        for again in range(_ORDER_TRIES):
            if again:
                time.sleep(_ORDER_PAUSE_S)
            try:
                pipe = os.open(self.slot.order, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nobody reads: it is not that far yet, or has ended
                    continue
                return False
            with os.fdopen(pipe, "wb", buffering=0) as file:
                file.write(text)
            self.slot.order.unlink(missing_ok=True)
            return True
        return False


def slot_of(folder: AttemptFolder) -> Slot:
    """Where an attempt keeps the slot that it has taken."""
    return Slot(folder.root / "warm")


def take(
    client: docker.DockerClient,
    pool: Path,
    shape: WarmProfile,
    inputs: AttemptInputs,
    gateway_socket: GatewaySocket | None,
) -> Taken | None:
    """Take a warm container for an attempt and put its inputs there; None when there is none that can be used.

    May be cut off anywhere: a container that was taken and has no order is known by `was_told`.

    Raises:
        docker.errors.DockerException, requests.RequestException: The engine's.
    """
    if isinstance(gateway_socket, SharedSocket):
        return None
    slots = _waiting(pool / shape.key)
    if not slots or reap.find(client, profile.container_name(inputs.unit)) is not None:
        return None
    inputs.folder.started.unlink(missing_ok=True)
    try:
        for slot in slots[:_TRIES]:
            mine = slot.moved_to(slot_of(inputs.folder).folder)
            if mine is None or not _rename(client, slot, inputs):
                continue
            found = reap.find(client, profile.container_name(inputs.unit))
            if found is not None and found.running:
                _move_in(mine, inputs, gateway_socket)
                return Taken(found, mine, profile.environment(inputs, gateway_socket))
    except OSError as error:  # such as a gateway's socket on another file system
        _log.warning("agent.warm_container_unusable", attempt=inputs.attempt_id, reason=str(error))
    return None


def was_told(found: reap.FoundContainer, folder: AttemptFolder) -> bool:
    """Whether a container that is the attempt's has its order; one that was made for it needs none."""
    return not found.slot or folder.started.exists()


def name_socket(slot: Slot, gateway_socket: Path) -> None:
    """Give the gateway's socket its second name, where the container has it; also one that replaces another's.

    Raises OSError.
    """
    name = slot.gateway / gateway_socket.name
    name.unlink(missing_ok=True)
    os.link(gateway_socket, name)


def put_back(inputs: AttemptInputs) -> None:
    """After a warm container could not be used: the attempt's folder as it was before."""
    shutil.rmtree(slot_of(inputs.folder).folder, ignore_errors=True)
    inputs.folder.out.mkdir(exist_ok=True)
    inputs.folder.out.chmod(0o777)


def _waiting(folder: Path) -> list[Slot]:
    """The slots, oldest first."""
    found = []
    for path in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):  # somebody has just taken it
            found.append((path.stat().st_mtime, path))
    return [Slot(path) for _, path in sorted(found)]


def _rename(client: docker.DockerClient, slot: Slot, inputs: AttemptInputs) -> bool:
    try:
        client.api.rename(profile.warm_name(slot.name), profile.container_name(inputs.unit))
    except NotFound:
        return False  # another attempt was quicker, or it has been removed
    except APIError as error:
        if error.status_code in _NOT_TAKEN:
            return False
        raise
    return True


def _move_in(slot: Slot, inputs: AttemptInputs, gateway_socket: Path | None) -> None:
    """The container has the slot's folders mounted, wherever they lie."""
    folder = inputs.folder
    # Second names for the same files: what the host wrote stays where it is for whoever goes on with the attempt.
    shutil.copytree(folder.inbox, slot.inbox, copy_function=os.link, dirs_exist_ok=True)
    if gateway_socket is not None:
        name_socket(slot, gateway_socket)
    shutil.rmtree(folder.out, ignore_errors=True)
    slot.out.rename(folder.out)
