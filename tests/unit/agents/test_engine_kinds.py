"""What is asked of each engine and runtime, by answers as Docker 20.10 and Podman 4.3 gave them."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests
from docker.errors import APIError

from squire_pipelines.agents import engine_kinds, profile, worker_files
from squire_pipelines.agents.engine_kinds import EngineKind, adapted, is_gvisor, is_name_taken, kind_of
from squire_pipelines.sections.agents import LimitSettings

DOCKER_VERSION = {
    "Platform": {"Name": ""},
    "Components": [{"Name": "Engine", "Version": "20.10.24+dfsg1"}, {"Name": "containerd", "Version": "1.6.20~ds1"}],
}
PODMAN_VERSION = {
    "Platform": {"Name": "linux/amd64/debian-12"},
    "Components": [{"Name": "Podman Engine", "Version": "4.3.1"}, {"Name": "Conmon", "Version": "2.1.6"}],
}
DOCKER_INFO = {
    "DefaultRuntime": "runc",
    "Runtimes": {
        "runc": {"path": "runc"},
        "runsc": {"path": "/usr/bin/runsc", "runtimeArgs": ["--platform=ptrace"]},
        "sandbox": {"path": "/opt/gvisor/runsc"},
    },
}
TAKEN = (
    "container create: creating container storage: the container name "
    '"squire-t1-1" is already in use by 13e0. You have to remove that container to be able to reuse that name: that '
    "name is already in use"
)


def arguments() -> dict[str, Any]:
    """What a container is asked for with."""
    return profile.hardening(LimitSettings(), user=(10001, 10001), seccomp=worker_files.seccomp_profile())


def seccomp_of(asked: dict[str, Any]) -> str:
    (option,) = (text for text in asked["security_opt"] if text.startswith("seccomp="))
    return str(option).removeprefix("seccomp=")


@pytest.mark.parametrize(
    ("version", "kind"), [(DOCKER_VERSION, EngineKind.DOCKER), (PODMAN_VERSION, EngineKind.PODMAN), ({}, "Docker")]
)
def test_whose_engine_it_is_is_told_by_its_components(version: dict[str, Any], kind: str) -> None:
    assert kind_of(version) == kind


@pytest.mark.parametrize(
    ("runtime", "default", "expected"),
    [
        (None, "runc", False),
        ("runsc", "runc", True),
        ("sandbox", "runc", True),
        (None, "runsc", True),
        ("x", "", False),
    ],
)
def test_gvisor_is_known_by_its_program_whatever_its_name(runtime: str | None, default: str, *, expected: bool) -> None:
    assert is_gvisor({**DOCKER_INFO, "DefaultRuntime": default}, runtime) is expected


def test_docker_is_asked_as_before() -> None:
    asked = arguments()
    assert adapted(asked, EngineKind.DOCKER, in_gvisor=False) == asked


def test_podman_gets_a_file_with_the_profile_and_options_that_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    asked = adapted(arguments(), EngineKind.PODMAN, in_gvisor=False)
    file = Path(seccomp_of(asked))
    assert json.loads(file.read_text("utf-8")) == json.loads(worker_files.seccomp_profile())
    assert file.stat().st_mode & 0o777 == 0o600
    assert asked["tmpfs"]["/out"].startswith("rw,noexec,nosuid,nodev,mode=1777,size=")
    assert not any(word in text for text in asked["tmpfs"].values() for word in ("uid=", "gid=", "nr_inodes"))
    assert asked["ulimits"][-1]["Name"] == "nproc"
    assert adapted(arguments(), EngineKind.PODMAN, in_gvisor=False)["security_opt"] == asked["security_opt"]


def test_in_gvisor_the_call_is_allowed_whose_refusal_it_answers_wrongly() -> None:
    allowed = json.loads(seccomp_of(adapted(arguments(), EngineKind.DOCKER, in_gvisor=True)))
    before = json.loads(worker_files.seccomp_profile())
    changed = [rule for rule, old in zip(allowed["syscalls"], before["syscalls"], strict=True) if rule != old]
    assert [(rule["names"], rule["action"]) for rule in changed] == [(["clone3"], "SCMP_ACT_ALLOW")]
    assert engine_kinds.seccomp_for_gvisor("no profile") == "no profile"


@pytest.mark.parametrize(("status", "text", "taken"), [(409, "Conflict", True), (500, TAKEN, True), (500, "no", False)])
def test_a_name_that_is_taken_is_known_by_either_engines_refusal(status: int, text: str, *, taken: bool) -> None:
    response = requests.Response()
    response.status_code = status
    assert is_name_taken(APIError("refused", response, text)) is taken


def test_what_a_runtime_lacks_and_a_limit_that_is_too_low_for_it_is_said() -> None:
    assert engine_kinds.lacking(EngineKind.DOCKER, in_gvisor=False) == ()
    assert len(engine_kinds.lacking(EngineKind.PODMAN, in_gvisor=True)) > 2
    assert engine_kinds.runtime_of(DOCKER_INFO, "sandbox") == "sandbox (gVisor)"
    assert engine_kinds.runtime_of(DOCKER_INFO, None) == "runc"
    assert engine_kinds.runtime_problem(256, in_gvisor=False) is None
    assert engine_kinds.runtime_problem(1024, in_gvisor=True) is None
    assert "pids = 256" in (engine_kinds.runtime_problem(256, in_gvisor=True) or "")
