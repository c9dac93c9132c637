"""Builds the hardened profile of an agent's container, from limits to the engine's arguments. Creates nothing.

What each line stops: docs/security.md.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from docker.types import LogConfig, Mount, Ulimit

from squire_pipelines.agents.adapters import caches
from squire_pipelines.agents.model import AttemptInputs, GatewaySocket, SharedSocket
from squire_pipelines.domain import canary
from squire_pipelines.sections.agents import LimitSettings

WORKER_UID = 10001
ROLE_AGENT = "agent"
ROLE_GATEWAY = "gateway"
LABEL_ROLE = "squire.role"
LABEL_ATTEMPT = "squire.attempt"
LABEL_TASK = "squire.task"
LABEL_RUN = "squire.run"
LABEL_TRACE = "squire.trace"
# Seconds for which a container whose attempt failed is kept for debugging.
LABEL_KEEP = "squire.keep"
# Until when a container is kept after its end while its repository is debugged, as ISO 8601.
LABEL_KEEP_UNTIL = "squire.keep-until"
# Which slot of the warm pool a container was made for. It has no attempt's label: its name says whose it has become.
LABEL_SLOT = "squire.slot"
HOME = "/home/agent"
GATEWAY_MOUNT = "/run/squire"
HAND_OUT_S = 240
"""How long a container waits for its result to be taken: no shorter than a lease and the time to claim."""
OUT_FILES = 64
_SHM_BYTES = 64 * 2**20


def container_name(unit: str) -> str:
    """Return the name of an attempt's container (`AttemptInputs.unit`), always the same: a second start finds it."""
    return f"squire-{unit}"


def warm_name(slot: str) -> str:
    """Return the name of a warm container until an attempt takes it by renaming it."""
    return f"squire-warm-{slot}"


def taken_by(name: str, slot: str) -> str:
    """Return the attempt that has taken the container of `slot`, whose name is `name` now; empty when none has."""
    return "" if name == warm_name(slot) else name.removeprefix(container_name(""))


def container_user(uid: int, gid: int) -> tuple[int, int]:
    """Return the user and group in the container for a host process of `uid` and `gid`: never root."""
    return (WORKER_UID, WORKER_UID) if uid == 0 else (uid, gid)


def host_user() -> tuple[int, int]:
    """Return the container's user and group for this process."""
    return container_user(os.getuid(), os.getgid())


def labels(inputs: AttemptInputs) -> dict[str, str]:
    """Return the labels by which a container is found again."""
    return {
        LABEL_ROLE: ROLE_AGENT,
        LABEL_ATTEMPT: inputs.attempt_id,
        LABEL_TASK: inputs.task_id,
        LABEL_RUN: inputs.run_id or "",
        LABEL_TRACE: inputs.trace_id,
    }


def file_size_limit(limits: LimitSettings) -> int:
    """Return the longest single file in bytes: a clone's pack may fill the workspace, so it is not `output` alone."""
    return max(limits.output, limits.workspace)


def out_size(limits: LimitSettings) -> int:
    """Return the size of `/out` in bytes: the largest file that is taken, and the reports beside it."""
    return limits.output + 2 * 2**20


def _free_memory(limits: LimitSettings) -> int:
    """Return how many bytes of memory are left when all memory file systems are full."""
    return limits.memory - limits.workspace - limits.home - limits.tmp - limits.output


def agent_grace(limits: LimitSettings) -> str:
    """Return how many seconds the entrypoint gives the agent to end when asked: half of what it has itself."""
    return f"{limits.grace_s / 2:g}"


def environment(inputs: AttemptInputs, gateway_socket: GatewaySocket | None) -> dict[str, str]:
    """Return the environment variables of an attempt's container."""
    variables = {
        "SQUIRE_STOP_GRACE_S": agent_grace(inputs.limits),
        "SQUIRE_HAND_OUT_S": str(HAND_OUT_S),
        canary.NAME: canary.canary_for(inputs.attempt_id),
    }
    if gateway_socket is not None:
        variables["SQUIRE_GATEWAY_SOCKET"] = f"{GATEWAY_MOUNT}/{gateway_socket.name}"
    return variables


def hardening(
    limits: LimitSettings, *, user: tuple[int, int], seccomp: str, runtime: str | None = None
) -> dict[str, Any]:
    """Return what confines a container, whatever its purpose, as keyword arguments of docker-py's `containers.create`.

    Args:
        limits: What it may use.
        user: User and group id in the container.
        seccomp: The profile as JSON text.
        runtime: The OCI runtime; the engine's default when None.
    """
    uid, gid = user
    owned = f"rw,exec,nosuid,nodev,mode=0700,uid={uid},gid={gid}"
    size = file_size_limit(limits)
    arguments: dict[str, Any] = {
        "hostname": "squire",
        "user": f"{uid}:{gid}",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true", f"seccomp={seccomp}"],
        "read_only": True,
        "init": True,
        "ipc_mode": "private",
        "network_mode": "none",
        "tmpfs": {
            "/work": f"{owned},size={limits.workspace}",
            HOME: f"{owned},size={limits.home}",
            # Read by the host while the container waits, see `hand_out`.
            "/out": f"{owned.replace('exec', 'noexec')},size={out_size(limits)},nr_inodes={OUT_FILES}",
            "/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={limits.tmp}",  # noqa: S108 - the container's own
        },
        "shm_size": min(_SHM_BYTES, _free_memory(limits) // 2),
        "mem_limit": limits.memory,
        "memswap_limit": limits.memory,
        "nano_cpus": int(limits.cpus * 1_000_000_000),
        "pids_limit": limits.pids,
        "ulimits": [
            Ulimit(name="nofile", soft=limits.open_files, hard=limits.open_files),
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="fsize", soft=size, hard=size),
        ],
        # Kept by the engine too, so that another supervisor can read what a dead one has missed.
        "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": "20m", "max-file": "2"}),
        "stdin_open": False,
        "tty": False,
    }
    return arguments if runtime is None else arguments | {"runtime": runtime}


def mounts_of(
    inbox: Path, gateway: Path | SharedSocket | None, package_caches: tuple[caches.Cache, ...]
) -> list[Mount]:
    """Return what a container has mounted; `gateway` is the folder or the volume of the gateway's socket."""
    mounts = [Mount("/in", str(inbox), type="bind", read_only=True)]
    if isinstance(gateway, SharedSocket):
        mounts.append(Mount(GATEWAY_MOUNT, gateway.volume, type="volume", read_only=True))
    elif gateway is not None:
        mounts.append(Mount(GATEWAY_MOUNT, str(gateway), type="bind", read_only=True))
    return mounts + caches.mounts(package_caches)


def create_arguments(
    inputs: AttemptInputs,
    *,
    image: str,
    user: tuple[int, int],
    seccomp: str,
    gateway_socket: GatewaySocket | None = None,
    runtime: str | None = None,
    keep_s: float | None = None,
    keep_until: datetime | None = None,
) -> dict[str, Any]:
    """Return the keyword arguments of docker-py's `containers.create` for an attempt.

    Args:
        inputs: The attempt, whose folder exists.
        user: User and group id in the container.
        image: The image's id, so that a tag that moves meanwhile changes nothing.
        seccomp: The profile as JSON text.
        gateway_socket: Its directory, or its volume, is mounted at /run/squire, read-only (a connection needs no
            write access).
        runtime: The OCI runtime; the engine's default when None.
        keep_s: For debugging: /work is then a folder of the attempt's, which outlives the container and is not
            bounded by the engine, and the container says in a label how long it may be kept.
        keep_until: Likewise, until a moment.
    """
    folder = inputs.folder
    arguments = hardening(inputs.limits, user=user, seccomp=seccomp, runtime=runtime)
    gateway = gateway_socket.parent if isinstance(gateway_socket, Path) else gateway_socket
    mounts = mounts_of(folder.inbox, gateway, inputs.caches)
    container_labels = labels(inputs)
    if keep_s is not None or keep_until is not None:
        del arguments["tmpfs"]["/work"]
        mounts.append(Mount("/work", str(folder.work), type="bind"))
    if keep_s is not None:
        container_labels[LABEL_KEEP] = f"{keep_s:.0f}"
    if keep_until is not None:
        container_labels[LABEL_KEEP_UNTIL] = keep_until.isoformat()
    return arguments | {
        "image": image,
        "name": container_name(inputs.unit),
        "labels": container_labels,
        "environment": {"HOME": HOME} | environment(inputs, gateway_socket),
        "mounts": mounts,
    }
