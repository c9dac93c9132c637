"""The hardened profile of an agent's container, from limits to the engine's arguments. Creates nothing.

What each line stops is told in docs/security.md.
"""

import os
from pathlib import Path
from typing import Any

from docker.types import LogConfig, Mount, Ulimit

from squire_pipelines.agents.model import AttemptInputs
from squire_pipelines.errors import ConfigError
from squire_pipelines.settings import LimitSettings

WORKER_UID = 10001
ROLE_AGENT = "agent"
LABEL_ROLE = "squire.role"
LABEL_ATTEMPT = "squire.attempt"
LABEL_TASK = "squire.task"
LABEL_RUN = "squire.run"
LABEL_TRACE = "squire.trace"
GATEWAY_MOUNT = "/run/squire"
_SHM_BYTES = 64 * 2**20


def container_name(attempt_id: str) -> str:
    """The one name of an attempt's container: a second start finds the first."""
    return f"squire-{attempt_id}"


def container_user(uid: int, gid: int) -> tuple[int, int]:
    """The user and group in the container for a host process of `uid` and `gid`: never root."""
    return (WORKER_UID, WORKER_UID) if uid == 0 else (uid, gid)


def host_user() -> tuple[int, int]:
    """The container's user and group for the process that asks."""
    return container_user(os.getuid(), os.getgid())


def check_limits(limits: LimitSettings) -> None:
    """Refuse limits that would have the engine kill an agent for writing files.

    Memory file systems count as the container's memory, so all of them full must leave room.

    Raises:
        ConfigError: The memory file systems together are not smaller than the memory.
    """
    total = limits.workspace + limits.home + limits.tmp
    if total >= limits.memory:
        message = (
            f"agent.limits: workspace + home + tmp = {total} bytes, which is not less than memory = {limits.memory}"
        )
        raise ConfigError(message, hint="they are kept in memory: raise `memory` or lower one of them")


def labels(inputs: AttemptInputs) -> dict[str, str]:
    """The labels by which a container is found again."""
    return {
        LABEL_ROLE: ROLE_AGENT,
        LABEL_ATTEMPT: inputs.attempt_id,
        LABEL_TASK: inputs.task_id,
        LABEL_RUN: inputs.run_id or "",
        LABEL_TRACE: inputs.trace_id,
    }


def file_size_limit(limits: LimitSettings) -> int:
    """The longest single file in bytes: a clone's pack may fill the workspace, so it is not `output` alone."""
    return max(limits.output, limits.workspace)


def agent_grace(limits: LimitSettings) -> str:
    """How many seconds the entrypoint gives the agent to end when asked: half of what it has itself."""
    return f"{limits.grace_s / 2:g}"


def create_arguments(
    inputs: AttemptInputs,
    *,
    image: str,
    user: tuple[int, int],
    seccomp: str,
    gateway_socket: Path | None = None,
    engine_cpus: int = 0,
) -> dict[str, Any]:
    """The keyword arguments of docker-py's `containers.create`.

    Args:
        inputs: The attempt, whose folder exists.
        user: User and group id in the container.
        image: The image's id, so that a tag that moves meanwhile changes nothing.
        seccomp: The profile as JSON text.
        gateway_socket: Its directory is mounted at /run/squire, read-only (a connection needs no write access).
        engine_cpus: How many the engine has; it refuses to promise more. 0: not known.

    Raises:
        ConfigError: The limits contradict each other.
    """
    limits = inputs.limits
    check_limits(limits)
    uid, gid = user
    owned = f"rw,exec,nosuid,nodev,mode=0700,uid={uid},gid={gid}"
    folder = inputs.folder
    mounts = [
        Mount("/in", str(folder.inbox), type="bind", read_only=True),
        Mount("/out", str(folder.out), type="bind"),
    ]
    environment = {"HOME": "/home/agent", "SQUIRE_STOP_GRACE_S": agent_grace(limits)}
    if gateway_socket is not None:
        mounts.append(Mount(GATEWAY_MOUNT, str(gateway_socket.parent), type="bind", read_only=True))
        environment["SQUIRE_GATEWAY_SOCKET"] = f"{GATEWAY_MOUNT}/{gateway_socket.name}"
    cpus = min(limits.cpus, engine_cpus) if engine_cpus > 0 else limits.cpus
    size = file_size_limit(limits)
    return {
        "image": image,
        "name": container_name(inputs.attempt_id),
        "hostname": "squire",
        "labels": labels(inputs),
        "environment": environment,
        "user": f"{uid}:{gid}",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true", f"seccomp={seccomp}"],
        "read_only": True,
        "init": True,
        "ipc_mode": "private",
        "network_mode": "none",
        "mounts": mounts,
        "tmpfs": {
            "/work": f"{owned},size={limits.workspace}",
            "/home/agent": f"{owned},size={limits.home}",
            "/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={limits.tmp}",  # noqa: S108 - the container's own
        },
        "shm_size": min(_SHM_BYTES, (limits.memory - limits.workspace - limits.home - limits.tmp) // 2),
        "mem_limit": limits.memory,
        "memswap_limit": limits.memory,
        "nano_cpus": int(cpus * 1_000_000_000),
        "pids_limit": limits.pids,
        "ulimits": [
            Ulimit(name="nofile", soft=limits.open_files, hard=limits.open_files),
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="fsize", soft=size, hard=size),
        ],
        # Kept by the engine too, so that a supervisor that died can be followed by one that reads what was missed.
        "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": "10m", "max-file": "2"}),
        "stdin_open": False,
        "tty": False,
    }
