"""The hardened profile, line by line."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from squire_pipelines.agents import profile
from squire_pipelines.domain.canary import canary_for
from tests.support.attempts import ATTEMPT_ID, MIB, make_inputs, small_limits


def arguments(tmp_path: Path, *, socket: Path | None = None, **limits: float) -> dict[str, Any]:
    inputs = make_inputs(tmp_path, command=("true",), limits=small_limits(**limits))
    return profile.create_arguments(
        inputs, image="sha256:abc", user=(10001, 10001), seccomp="{}", gateway_socket=socket
    )


def test_nothing_that_hardens_is_left_out(tmp_path: Path) -> None:
    made = arguments(tmp_path)
    assert made["cap_drop"] == ["ALL"]
    assert made["read_only"] is True
    assert made["init"] is True
    assert made["ipc_mode"] == "private"
    assert made["network_mode"] == "none"
    assert made["security_opt"] == ["no-new-privileges:true", "seccomp={}"]
    assert made["user"] == "10001:10001"
    assert made["pids_limit"] == 64
    assert made["mem_limit"] == made["memswap_limit"] == 256 * MIB
    assert made["nano_cpus"] == 1_000_000_000
    assert made["log_config"]["Config"] == {"max-size": "20m", "max-file": "2"}
    assert not any(key in made for key in ("privileged", "cap_add", "devices", "ports", "auto_remove", "volumes"))


def test_the_name_follows_from_the_attempt_and_labels_tell_whose_it_is(tmp_path: Path) -> None:
    made = arguments(tmp_path)
    assert made["name"] == f"squire-{ATTEMPT_ID}"
    assert made["labels"] == {
        "squire.role": "agent",
        "squire.attempt": ATTEMPT_ID,
        "squire.task": "t000000001",
        "squire.run": "",
        "squire.trace": "f" * 32,
    }


def test_inputs_are_read_only_and_nothing_else_of_the_host_is_there(tmp_path: Path) -> None:
    mounts = {mount["Target"]: mount for mount in arguments(tmp_path)["mounts"]}
    assert set(mounts) == {"/in"}
    assert mounts["/in"]["ReadOnly"] is True
    assert {mount["Type"] for mount in mounts.values()} == {"bind"}


def test_the_gateway_is_a_read_only_directory_with_a_socket(tmp_path: Path) -> None:
    made = arguments(tmp_path, socket=tmp_path / "s" / "gateway.sock")
    mount = made["mounts"][-1]
    assert (mount["Source"], mount["Target"], mount["ReadOnly"]) == (str(tmp_path / "s"), "/run/squire", True)
    assert made["environment"]["SQUIRE_GATEWAY_SOCKET"] == "/run/squire/gateway.sock"


def test_no_environment_but_what_the_entrypoint_needs(tmp_path: Path) -> None:
    assert arguments(tmp_path)["environment"] == {
        "HOME": "/home/agent",
        "SQUIRE_STOP_GRACE_S": "2",
        "SQUIRE_HAND_OUT_S": "240",
        "DEPLOY_TOKEN": canary_for(ATTEMPT_ID),
    }


def test_memory_file_systems_have_sizes_and_the_agents_user(tmp_path: Path) -> None:
    tmpfs = arguments(tmp_path)["tmpfs"]
    assert set(tmpfs) == {"/work", "/home/agent", "/out", "/tmp"}  # noqa: S108 - the container's own
    assert f"size={64 * MIB}" in tmpfs["/work"]
    assert "uid=10001,gid=10001" in tmpfs["/work"]
    assert all("nosuid,nodev" in options for options in tmpfs.values())
    assert all("size=" in options for options in tmpfs.values())
    assert 0 < arguments(tmp_path)["shm_size"] <= 64 * MIB


def test_one_file_may_fill_the_workspace_but_not_more(tmp_path: Path) -> None:
    ulimits = {limit["Name"]: limit["Hard"] for limit in arguments(tmp_path)["ulimits"]}
    assert ulimits == {"nofile": 1024, "core": 0, "fsize": 64 * MIB}


def test_the_runtime_is_the_engines_unless_one_is_named(tmp_path: Path) -> None:
    assert "runtime" not in arguments(tmp_path)
    inputs = make_inputs(tmp_path, command=("true",))
    made = profile.create_arguments(inputs, image="i", user=(1, 1), seccomp="{}", runtime="runsc")
    assert made["runtime"] == "runsc"


def test_for_debugging_the_workspace_is_a_folder_and_the_container_says_how_long_it_is_kept(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path, command=("true",))
    made = profile.create_arguments(inputs, image="i", user=(1, 1), seccomp="{}", keep_s=3600)
    assert "/work" not in made["tmpfs"]
    assert {mount["Target"]: mount["Source"] for mount in made["mounts"]}["/work"] == str(inputs.folder.work)
    assert made["labels"][profile.LABEL_KEEP] == "3600"
    until = datetime(2026, 3, 1, 12, tzinfo=UTC)
    made = profile.create_arguments(inputs, image="i", user=(1, 1), seccomp="{}", keep_until=until)
    assert "/work" not in made["tmpfs"]
    assert made["labels"][profile.LABEL_KEEP_UNTIL] == "2026-03-01T12:00:00+00:00"
    assert profile.LABEL_KEEP not in made["labels"]


def test_a_container_never_runs_as_root() -> None:
    assert profile.container_user(0, 0) == (10001, 10001)
    assert profile.container_user(1000, 1001) == (1000, 1001)
