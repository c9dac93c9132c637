"""Tries from inside what an agent's container can and cannot do on this engine: a table for people.

`squire agents probe` prints it; the tests and each release ask for it. Changes nothing but its own container.
"""

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from errno import EACCES, EAFNOSUPPORT, ENOENT, ENOSYS, EPERM, EROFS, errorcode
from typing import Any

import docker

from squire_pipelines.agents import engine, profile, worker_files
from squire_pipelines.agents.engine_kinds import create_container
from squire_pipelines.errors import EngineError
from squire_pipelines.sections.agents import AgentSettings, LimitSettings

ROLE_PROBE = "probe"
TIMEOUT_S = 120.0
# What is tried never fails with these for its arguments: such an answer is a refusal.
_REFUSED = frozenset({EPERM, ENOSYS})
_NO_SUCH_FAMILY = frozenset({EPERM, ENOSYS, EAFNOSUPPORT, EACCES})
_NO_WAY = frozenset({EPERM, EACCES, EROFS, ENOENT})


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One thing that was tried. `ok` says that it came out as it must: denied, allowed, or limited as set."""

    kind: str
    name: str
    expected: str
    actual: str
    ok: bool

    def document(self) -> dict[str, str | bool]:
        """Return it with the keys of `squire agents probe --json`."""
        return {"kind": self.kind, "name": self.name, "wanted": self.expected, "found": self.actual, "ok": self.ok}


def ask(
    client: docker.DockerClient,
    image: str,
    limits: LimitSettings,
    *,
    seccomp: str | None = None,
    runtime: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Any]:
    """Return what the script prints inside a container with the profile.

    Raises:
        EngineError: The engine does not answer, or the script did not come to its end.
    """
    script = worker_files.worker_file("squire_worker/probe.py").read_text(encoding="utf-8")
    words = ["python3", "-I", "-c", script]
    code, text = run_once(client, image, limits, words, seccomp=seccomp, runtime=runtime, timeout_s=timeout_s)
    if code != 0:
        raise EngineError(f"the probe ended with exit code {code}: {text[-300:]}")
    answer: dict[str, Any] = json.loads(text)
    return answer


def run_once(
    client: docker.DockerClient,
    image: str,
    limits: LimitSettings,
    words: list[str],
    *,
    seccomp: str | None = None,
    runtime: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> tuple[int, str]:
    """Return the exit code and the output of a command inside a container with the profile, which is then removed.

    Raises:
        EngineError: The engine does not answer, or the command did not end in time.
    """
    arguments = profile.hardening(
        limits, user=profile.host_user(), seccomp=seccomp or worker_files.seccomp_profile(), runtime=runtime
    )
    with engine.engine_errors("the container cannot be probed"):
        container = create_container(
            client,
            image=image,
            entrypoint=words,
            command=[],
            name=f"squire-probe-{uuid.uuid4().hex[:12]}",
            labels={profile.LABEL_ROLE: ROLE_PROBE},
            **arguments,
        )
        try:
            container.start()
            code = int(container.wait(timeout=timeout_s)["StatusCode"])
            text = container.logs(stdout=True, stderr=code != 0).decode(errors="replace")
        finally:
            container.remove(force=True)
    return code, text


def run_probe(client: docker.DockerClient, agent: AgentSettings) -> tuple[ProbeResult, ...]:
    """Try everything that is denied, allowed and limited. Raises EngineError, ConfigError."""
    answer = ask(
        client,
        agent.worker_image,
        agent.limits,
        seccomp=worker_files.seccomp_profile(agent.seccomp),
        runtime=agent.runtime,
    )
    return (*judge(answer), *judge_limits(answer["limits"], agent.limits))


def judge(answer: dict[str, Any]) -> Iterator[ProbeResult]:
    """Compare the script's answer with what must be."""
    for kind, denied in (("calls", _REFUSED), ("sockets", _NO_SUCH_FAMILY), ("write", _NO_WAY), ("read", _NO_WAY)):
        for name, code in answer[kind].items():
            yield ProbeResult(kind.removesuffix("s"), name, "denied", _outcome(code), code in denied)
    for name, denied_in_all in answer["capabilities"].items():
        yield ProbeResult("capability", name, "denied", "denied" if denied_in_all else "held", bool(denied_in_all))
    yield ProbeResult("network", "connect", "denied", _outcome(answer["connect"]), answer["connect"] != 0)
    yield _equal("network", "interfaces", ["lo"], answer["interfaces"])
    yield ProbeResult("user", "uid", "not 0", str(answer["uid"]), answer["uid"] != 0)
    yield _equal("user", "no_new_privileges", 1, answer["no_new_privileges"])
    yield _equal("user", "seccomp", 2, answer["seccomp"])
    yield _equal("user", "set-uid files", [], answer["set_uid_files"])
    for name, code in answer["allowed"].items():
        yield ProbeResult("needed", name, "allowed", _outcome(code), code == 0)


def judge_limits(measured: dict[str, Any], limits: LimitSettings) -> Iterator[ProbeResult]:
    """Compare the limits as they are inside with the settings; what a kernel does not show there is left out."""
    page = os.sysconf("SC_PAGE_SIZE")
    for name, limit in (
        ("memory", limits.memory),
        ("memory_and_swap", limits.memory),
        ("workspace", limits.workspace),
        ("home", limits.home),
        ("tmp", limits.tmp),
    ):
        if measured.get(name) is not None:
            actual = int(measured[name])
            yield ProbeResult("limit", name, str(limit), str(actual), abs(actual - limit) < page)
    if measured.get("swap") is not None:
        yield _equal("limit", "swap", "0", str(measured["swap"]))
    for name, value in (("pids", limits.pids), ("open_files", limits.open_files), ("core", 0)):
        if measured.get(name) is not None:
            yield _equal("limit", name, value, int(measured[name]))
    yield _equal("limit", "file_size", profile.file_size_limit(limits), int(measured["file_size"]))
    if measured.get("cpu") is not None:
        quota, _, period = str(measured["cpu"]).partition(" ")
        cpus = int(quota) / int(period or measured["cpu_period"])
        yield ProbeResult("limit", "cpus", f"{limits.cpus:g}", f"{cpus:g}", abs(cpus - limits.cpus) < 0.01)  # noqa: PLR2004 - rounding


def _equal(kind: str, name: str, expected: object, actual: object) -> ProbeResult:
    return ProbeResult(kind, name, str(expected), str(actual), expected == actual)


def _outcome(code: int) -> str:
    return "worked" if code == 0 else errorcode.get(code, f"code {code}")
