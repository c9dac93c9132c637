"""What differs between container engines and runtimes, and how a container is asked for so that it is the same on each.

What each gives and does not give, as it was seen: docs/reference/runtimes.md.
"""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any
from weakref import WeakKeyDictionary

import docker
from docker.errors import APIError
from docker.models.containers import Container
from docker.types import Ulimit

from squire_pipelines.files import write_atomically
from squire_pipelines.home import Home

GVISOR_PIDS = 512
"""The least limit of processes for gVisor, whose own threads count: some 60, and about nine for each process."""

_SECCOMP = "seccomp"
_NOT_IN_PODMAN = frozenset({"uid", "gid", "nr_inodes"})
_CLONE3 = "clone3"
_CONFLICT, _NAME_TAKEN = 409, "name is already in use"
_PODMAN = "Podman Engine"
_PODMAN_PROCESSES = 32_768
"""The least to which Podman lowers its own limit of processes. What bounds a container's is `limits.pids`."""

_GVISOR = "runsc"


class EngineKind(StrEnum):
    """Whose engine answers."""

    DOCKER = "Docker"
    PODMAN = "Podman"


def kind_of(version: Mapping[str, Any]) -> EngineKind:
    """Return whose engine gives this answer about its version."""
    names = {str(part.get("Name")) for part in version.get("Components") or () if isinstance(part, Mapping)}
    return EngineKind.PODMAN if _PODMAN in names else EngineKind.DOCKER


def is_gvisor(info: Mapping[str, Any], runtime: str | None) -> bool:
    """Return whether containers of a runtime, by default the engine's own, run in gVisor.

    Args:
        info: The engine's answer about itself.
        runtime: The runtime's name in the engine's configuration, which may be any.
    """
    name = runtime or str(info.get("DefaultRuntime") or "")
    known = (info.get("Runtimes") or {}).get(name)
    path = str(known.get("path") or "") if isinstance(known, Mapping) else ""
    return name.startswith(_GVISOR) or PurePosixPath(path).name.startswith(_GVISOR)


def seccomp_for_gvisor(profile: str) -> str:
    """Return the profile with `clone3` allowed.

    gVisor answers every refusal of a profile with EPERM, also where the profile says ENOSYS, with which the C library
    would fall back to `clone`: no program could start a thread. The call reaches gVisor's kernel, never the host's.
    """
    try:
        rules = json.loads(profile)
    except ValueError:
        return profile  # the engine says what it thinks of it
    for rule in rules.get("syscalls", ()):
        if _CLONE3 in rule.get("names", ()) and rule.get("action") != "SCMP_ACT_ALLOW":
            rule["action"] = "SCMP_ACT_ALLOW"
            rule.pop("errnoRet", None)
    return json.dumps(rules)


def tmpfs_for_podman(options: str) -> str:
    """Return the options of a memory file system as Podman takes them: without owner and number of files.

    It belongs to root and is open to all in the container, where there is no other user than the agent's. Its files
    count as the container's memory, which bounds their number too.
    """
    kept = [option for option in options.split(",") if option.partition("=")[0] not in _NOT_IN_PODMAN]
    return ",".join("mode=1777" if option.startswith("mode=") else option for option in kept)


def runtime_of(info: Mapping[str, Any], runtime: str | None) -> str:
    """Return the name of the runtime in which containers run, and whose it is where that is another than Docker's."""
    name = runtime or str(info.get("DefaultRuntime") or "the engine's own runtime")
    return f"{name} (gVisor)" if is_gvisor(info, runtime) else name


def lacking(kind: EngineKind, *, in_gvisor: bool) -> tuple[str, ...]:
    """Return what an engine and a runtime do not give of what Docker and runc do."""
    lacks: list[str] = []
    if kind is EngineKind.PODMAN:
        lacks += ["an owner and a bound on the number of files of memory file systems", "a log without loss of order"]
    if in_gvisor:
        lacks += ["the limits on memory, processors and processes from inside", "the flag of a child out of memory"]
    return tuple(lacks)


def runtime_problem(pids: int, *, in_gvisor: bool) -> str | None:
    """Return why containers may end without a word in a runtime with a limit of processes; None where they do not."""
    if not in_gvisor or pids >= GVISOR_PIDS:
        return None
    return (
        f"agent.limits.pids = {pids} is little for gVisor, whose own threads count: beyond it the whole container ends "
        "with exit code 2"
    )


_answers: "WeakKeyDictionary[docker.DockerClient, tuple[EngineKind, Mapping[str, Any]]]" = WeakKeyDictionary()


def create_container(client: docker.DockerClient, **arguments: Any) -> Container:
    """Create a container as docker-py does, confined by what this engine and runtime understand.

    Raises the errors of docker-py and `requests`.
    """
    if client not in _answers:
        _answers[client] = (kind_of(client.version()), client.info())
    kind, info = _answers[client]
    return client.containers.create(**adapted(arguments, kind, in_gvisor=is_gvisor(info, arguments.get("runtime"))))


def is_name_taken(error: APIError) -> bool:
    """Return whether an engine refuses a container since there is one of that name: Podman says so with a 500."""
    return error.status_code == _CONFLICT or _NAME_TAKEN in str(error.explanation or "")


def adapted(arguments: Mapping[str, Any], kind: EngineKind, *, in_gvisor: bool) -> dict[str, Any]:
    """Return docker-py's arguments for a container as an engine and a runtime take them.

    For Podman the seccomp profile is written into the cache of the home, which has to be on the engine's machine.
    """
    options = []
    for option in arguments.get("security_opt") or ():
        name, _, value = str(option).partition("=")
        if name == _SECCOMP and in_gvisor:
            value = seccomp_for_gvisor(value)
        if name == _SECCOMP and kind is EngineKind.PODMAN:
            value = _in_file(value)
        options.append(f"{name}={value}" if name == _SECCOMP else str(option))
    changed: dict[str, Any] = {"security_opt": options}
    if kind is EngineKind.PODMAN:
        changed["tmpfs"] = {path: tmpfs_for_podman(text) for path, text in (arguments.get("tmpfs") or {}).items()}
        # Podman sets more by itself, and where root lacks CAP_SYS_RESOURCE it may not: no container would start.
        processes = Ulimit(name="nproc", soft=_PODMAN_PROCESSES, hard=_PODMAN_PROCESSES)
        changed["ulimits"] = [*(arguments.get("ulimits") or ()), processes]
    return {**arguments, **changed}


def _in_file(profile: str) -> str:
    """Return the path of a file with the profile: Podman takes no text. It has to be on this machine for that."""
    name = hashlib.sha256(profile.encode()).hexdigest()[:16]
    path = Home.from_environment().cache / "seccomp" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, profile.encode(), durable=False)
    return str(path)
