"""What an agent's container can and cannot do on this engine, found by trying it from inside: a table for people.

`squire agents probe` prints it; the tests and each release ask for it. Changes nothing but its own container.
"""

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from errno import EACCES, EAFNOSUPPORT, ENOENT, ENOSYS, EPERM, EROFS, errorcode
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import DockerException

from squire_pipelines.agents import files, probe_inside, profile
from squire_pipelines.errors import EngineError
from squire_pipelines.sections import AgentSettings, LimitSettings

ROLE_PROBE = "probe"
TIMEOUT_S = 120.0
# No system call fails so for its arguments in what is tried: an answer of these is a refusal.
_REFUSED = frozenset({EPERM, ENOSYS})
_NO_SUCH_FAMILY = frozenset({EPERM, ENOSYS, EAFNOSUPPORT, EACCES})
_NO_WAY = frozenset({EPERM, EACCES, EROFS, ENOENT})
# In the order of their numbers, linux/capability.h.
_CAPABILITIES = tuple(
    name
    for line in (
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID",
        "SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER",
        "SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE",
        "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP",
        "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF",
        "CHECKPOINT_RESTORE",
    )
    for name in line.split()
)


@dataclass(frozen=True, slots=True)
class Tried:
    """One thing that was tried. `ok` says that it came out as it must: denied, allowed, or limited as set."""

    kind: str
    name: str
    wanted: str
    found: str
    ok: bool


def ask(
    client: docker.DockerClient,
    image: str,
    limits: LimitSettings,
    *,
    seccomp: str | None = None,
    runtime: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Any]:
    """What the script says from inside a container with the profile.

    Raises:
        EngineError: The engine does not answer, or the script did not come to its end.
    """
    arguments = profile.hardening(
        limits, user=profile.host_user(), seccomp=seccomp or files.seccomp_profile(), runtime=runtime
    )
    script = Path(probe_inside.__file__).read_text(encoding="utf-8")
    container = None
    try:
        container = client.containers.create(
            image,
            entrypoint=["python3", "-I", "-c", script],
            command=[],
            name=f"squire-probe-{uuid.uuid4().hex[:12]}",
            labels={profile.LABEL_ROLE: ROLE_PROBE},
            **arguments,
        )
        container.start()
        code = int(container.wait(timeout=timeout_s)["StatusCode"])
        said = container.logs(stdout=True, stderr=code != 0).decode(errors="replace")
    except (DockerException, requests.RequestException) as error:
        raise EngineError(f"the container cannot be probed: {str(error)[:300]}") from error
    finally:
        if container is not None:
            container.remove(force=True)
    if code != 0:
        raise EngineError(f"the probe ended with exit code {code}: {said[-300:]}")
    answer: dict[str, Any] = json.loads(said)
    return answer


def run_probe(client: docker.DockerClient, agent: AgentSettings) -> tuple[Tried, ...]:
    """Everything that is denied, allowed and limited, as it was found. Raises EngineError, ConfigError."""
    answer = ask(client, agent.image, agent.limits, seccomp=files.seccomp_profile(agent.seccomp), runtime=agent.runtime)
    return (*judge(answer), *judge_limits(answer["limits"], agent.limits))


def judge(answer: dict[str, Any]) -> Iterator[Tried]:
    """The script's answer, held against what must be."""
    for kind, denied in (("calls", _REFUSED), ("sockets", _NO_SUCH_FAMILY), ("write", _NO_WAY), ("read", _NO_WAY)):
        for name, code in answer[kind].items():
            yield Tried(kind.removesuffix("s"), name, "denied", _said(code), code in denied)
    for number, denied_in_all in answer["capabilities"].items():
        name = _CAPABILITIES[int(number)] if int(number) < len(_CAPABILITIES) else number
        yield Tried("capability", name, "denied", "denied" if denied_in_all else "held", bool(denied_in_all))
    yield Tried("network", "connect", "denied", _said(answer["connect"]), answer["connect"] != 0)
    yield _equal("network", "interfaces", ["lo"], answer["interfaces"])
    yield Tried("user", "uid", "not 0", str(answer["uid"]), answer["uid"] != 0)
    yield _equal("user", "no_new_privileges", 1, answer["no_new_privileges"])
    yield _equal("user", "seccomp", 2, answer["seccomp"])
    yield _equal("user", "set-uid files", [], answer["set_uid_files"])
    for name, code in answer["allowed"].items():
        yield Tried("needed", name, "allowed", _said(code), code == 0)


def judge_limits(seen: dict[str, Any], limits: LimitSettings) -> Iterator[Tried]:
    """The limits as they are from inside; what a kernel does not show there is left out."""
    page = os.sysconf("SC_PAGE_SIZE")
    for name, wanted in (
        ("memory", limits.memory),
        ("memory_and_swap", limits.memory),
        ("workspace", limits.workspace),
        ("home", limits.home),
        ("tmp", limits.tmp),
    ):
        if seen.get(name) is not None:
            found = int(seen[name])
            yield Tried("limit", name, str(wanted), str(found), abs(found - wanted) < page)
    if seen.get("swap") is not None:
        yield _equal("limit", "swap", "0", str(seen["swap"]))
    for name, value in (("pids", limits.pids), ("open_files", limits.open_files), ("core", 0)):
        if seen.get(name) is not None:
            yield _equal("limit", name, value, int(seen[name]))
    yield _equal("limit", "file_size", profile.file_size_limit(limits), int(seen["file_size"]))
    if seen.get("cpu") is not None:
        quota, _, period = str(seen["cpu"]).partition(" ")
        found_cpus = int(quota) / int(period or seen["cpu_period"])
        yield Tried("limit", "cpus", f"{limits.cpus:g}", f"{found_cpus:g}", abs(found_cpus - limits.cpus) < 0.01)  # noqa: PLR2004 - rounding


def _equal(kind: str, name: str, wanted: object, found: object) -> Tried:
    return Tried(kind, name, str(wanted), str(found), wanted == found)


def _said(code: int) -> str:
    return "worked" if code == 0 else errorcode.get(code, f"code {code}")
