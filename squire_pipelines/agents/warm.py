"""Warm containers: made ahead, with nothing of a task in them, and waiting for an attempt's start order.

Here is what they are and how an attempt takes one; `warm_pool` makes and removes them. Whoever moves a slot's folder
away has the slot: the file system lets only one do that, while two may rename a container at once and both be told
that they did. The order goes through a named pipe. Opening the pipe fails unless the container waits at its other end,
so that no order lies unread, and a container that is not well is noticed at once.
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
from docker.errors import APIError, NotFound

from squire_pipelines.agents import profile, reap
from squire_pipelines.agents.adapters.caches import Cache
from squire_pipelines.agents.model import AttemptFolder, AttemptInputs, GatewaySocket, SharedSocket
from squire_pipelines.home import make_folder
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.sections.agents import LimitSettings

ORDER = ".order"
"""The pipe's name in the container's `/in`."""
MAX_ORDER_BYTES = 4096
"""What a pipe takes at once (PIPE_BUF on Linux): an order is there whole or not at all."""
LABEL_HOME = "squire.home"
_TRIES = 5
_ORDER_TRIES, _ORDER_PAUSE_S = 10, 0.05
_NOT_TAKEN = frozenset({404, 409})
_log = get_logger(Component.AGENT)


@dataclass(frozen=True, slots=True)
class WarmProfile:
    """All that the engine fixes when it makes a container: attempts that agree in it can use the same containers.

    Args:
        image: The image's id.
        gateway: Whether a folder for a gateway's socket is mounted.
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
        """Return docker-py's arguments for the container, which ends after `wait_s` without an order."""
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
            "mounts": profile.mounts_of(slot.inbox, slot.gateway if self.gateway else None, self.caches),
        }


class Slot:
    """The folder of one warm container, with what it has mounted as `/in` and `/run/squire`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        """The slot's name, which its container's name contains."""
        self.inbox = folder / "in"
        """`/in`: the pipe, later the attempt's inputs."""
        self.gateway = folder / "gateway"
        """`/run/squire`: later a hard link of the gateway's socket."""
        self.order = self.inbox / ORDER
        """The pipe."""

    def make(self) -> None:
        """Create it, with the permissions of an attempt's folder. Raises OSError."""
        make_folder(self.folder.parent)
        self.folder.mkdir(mode=0o700)
        for directory, mode in ((self.inbox, 0o755), (self.gateway, 0o711)):
            directory.mkdir()
            directory.chmod(mode)
        os.mkfifo(self.order)
        self.order.chmod(0o644)

    def moved_to(self, folder: Path) -> "Slot | None":
        """Move it and return it, nobody else's from then on; None when another was quicker. Raises OSError."""
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier try
        try:
            self.folder.rename(folder)
        except FileNotFoundError:
            return None
        return Slot(folder)


@dataclass(frozen=True, slots=True)
class TakenContainer:
    """A warm container that is the attempt's now and waits for its order, which tells it its environment."""

    container: reap.ContainerInfo
    slot: Slot
    environment: dict[str, str]

    def send_order(self) -> bool:
        """Let it start; return False when it does not wait, and has not started. Takes half a second at most."""
        text = json.dumps({"environment": self.environment}).encode()
        if len(text) > MAX_ORDER_BYTES:
            return False
        for attempt in range(_ORDER_TRIES):
            if attempt:
                time.sleep(_ORDER_PAUSE_S)
            try:
                pipe = os.open(self.slot.order, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nobody reads: it does not wait yet, or has ended
                    continue
                return False
            with os.fdopen(pipe, "wb", buffering=0) as file:
                file.write(text)
            self.slot.order.unlink(missing_ok=True)
            return True
        return False


def slot_of(folder: AttemptFolder) -> Slot:
    """Return where an attempt keeps the slot that it has taken."""
    return Slot(folder.root / "warm")


def take(
    client: docker.DockerClient,
    pool: Path,
    warm_profile: WarmProfile,
    inputs: AttemptInputs,
    gateway_socket: GatewaySocket | None,
) -> TakenContainer | None:
    """Take a warm container for an attempt and put its inputs there; return None when none can be used.

    It may be cut off anywhere: `has_order` recognises a container that was taken and got no order.

    Raises:
        docker.errors.DockerException, requests.RequestException: The engine's.
    """
    if isinstance(gateway_socket, SharedSocket):
        return None
    slots = _waiting_slots(pool / warm_profile.key)
    if not slots or reap.find(client, profile.container_name(inputs.unit)) is not None:
        return None
    inputs.folder.started.unlink(missing_ok=True)
    try:
        for slot in slots[:_TRIES]:
            moved = slot.moved_to(slot_of(inputs.folder).folder)
            if moved is None or not _rename(client, slot, inputs):
                continue
            container = reap.find(client, profile.container_name(inputs.unit))
            if container is not None and container.running:
                _fill(moved, inputs, gateway_socket)
                return TakenContainer(container, moved, profile.environment(inputs, gateway_socket))
    except OSError as error:  # such as a gateway's socket on another file system
        _log.warning("agent.warm_container_unusable", attempt=inputs.attempt_id, reason=str(error))
    return None


def has_order(container: reap.ContainerInfo, folder: AttemptFolder) -> bool:
    """Return whether a container of the attempt's has its order; one that was made for the attempt needs none."""
    return not container.slot or folder.started.exists()


def link_socket(slot: Slot, gateway_socket: Path) -> None:
    """Link the gateway's socket where the container has it, in place of an earlier gateway's. Raises OSError."""
    name = slot.gateway / gateway_socket.name
    name.unlink(missing_ok=True)
    os.link(gateway_socket, name)


def restore_folder(inputs: AttemptInputs) -> None:
    """Restore the attempt's folder after a warm container could not be used."""
    shutil.rmtree(slot_of(inputs.folder).folder, ignore_errors=True)


def _waiting_slots(folder: Path) -> list[Slot]:
    """Return the slots, oldest first."""
    dated = []
    for path in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):  # another attempt has just taken it
            dated.append((path.stat().st_mtime, path))
    return [Slot(path) for _, path in sorted(dated)]


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


def _fill(slot: Slot, inputs: AttemptInputs, gateway_socket: Path | None) -> None:
    """Put the attempt's inputs into the slot's folders, which the container has mounted wherever they lie."""
    folder = inputs.folder
    # Hard links: what the host wrote also stays where it is, for whoever goes on with the attempt.
    shutil.copytree(folder.inbox, slot.inbox, copy_function=os.link, dirs_exist_ok=True)
    if gateway_socket is not None:
        link_socket(slot, gateway_socket)
