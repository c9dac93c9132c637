"""How OpenCode is called: hardened, with a configuration of ours and the prompt as one argument."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.agents.adapters.opencode import OpenCodeAgent
from squire_pipelines.agents.adapters.program_agent import PLACEHOLDER_KEY
from squire_pipelines.agents.adapters.protocol import AgentConfig
from tests.support.worker import Desk

Run = Callable[..., subprocess.CompletedProcess[str]]
DeskFor = Callable[..., Desk]


def _call(tmp_path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((tmp_path / "call.json").read_text(encoding="utf-8"))
    return document


def test_opencode_gets_model_prompt_and_a_hardened_environment(
    desk_for: DeskFor, run: Run, fake_opencode: Path, tmp_path: Path
) -> None:
    desk = desk_for(model="family/model-1", prompt="--version\n'; rm -rf / #")
    done = run(desk, PATH=f"{fake_opencode}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    call = _call(tmp_path)
    model = "squire/family/model-1"
    assert call["argv"] == ["run", "--format", "json", "--title", "squire", "-m", model]
    assert call["stdin"] == "--version\n'; rm -rf / #"
    assert call["env"]["OPENCODE_DISABLE_PROJECT_CONFIG"] == "1"
    assert call["env"]["OPENCODE_DISABLE_AUTOUPDATE"] == "1"
    assert call["env"]["OPENCODE_DISABLE_MODELS_FETCH"] == "1"
    config = call["config"]
    assert config["model"] == config["small_model"] == model
    assert config["provider"]["squire"]["models"] == {"family/model-1": {"name": "family/model-1"}}
    assert config["provider"]["squire"]["options"] == {"baseURL": "http://127.0.0.1:8787/v1", "apiKey": PLACEHOLDER_KEY}
    assert config["permission"]["webfetch"] == config["permission"]["*"] == "deny"
    assert (config["autoupdate"], config["share"], config["plugin"]) == (False, "disabled", [])
    assert desk.result()["agent_version"] == "9.9.9"
    assert desk.result()["status"] == "changed"


def test_a_version_that_cannot_be_asked_for_is_no_failure(desk_for: DeskFor, run: Run, fake_opencode: Path) -> None:
    program = fake_opencode / "opencode"
    program.write_text("#!/no/such/interpreter\n", encoding="utf-8")
    desk = desk_for(model="m")
    done = run(desk, PATH=f"{fake_opencode}:{os.environ['PATH']}")
    assert done.returncode == 126
    assert "version is unknown" in done.stderr
    assert desk.result()["agent_version"] is None


def test_opencode_may_be_named_by_path(desk_for: DeskFor, run: Run, fake_opencode: Path, tmp_path: Path) -> None:
    desk = desk_for(model="m")
    named = OpenCodeAgent().launch(AgentConfig((str(fake_opencode / "opencode"),), "m"))
    desk.rewrite(agent=named.document())
    assert run(desk).returncode == 0
    assert _call(tmp_path)["argv"][0] == "run"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def gateway(tmp_path: Path) -> Path:
    """A Unix socket on which nobody talks."""
    path = tmp_path / "g.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return path


def test_without_socat_the_relay_is_a_named_failure(desk_for: DeskFor, run: Run, gateway: Path, tmp_path: Path) -> None:
    desk = desk_for(["true"])
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("git", "true"):
        program = shutil.which(name)
        assert program is not None
        (tools / name).symlink_to(program)
    done = run(desk, PATH=str(tools), SQUIRE_GATEWAY_SOCKET=str(gateway), SQUIRE_GATEWAY_PORT=str(_free_port()))
    assert done.returncode == 120
    assert desk.result()["error"]["code"] == "relay_failed"


def test_a_relay_that_ends_at_once_is_a_named_failure(
    desk_for: DeskFor, run: Run, gateway: Path, tmp_path: Path
) -> None:
    socat = tmp_path / "bin" / "socat"
    socat.parent.mkdir()
    socat.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    socat.chmod(0o755)
    path = f"{socat.parent}:{os.environ['PATH']}"
    desk = desk_for(["true"])
    done = run(desk, PATH=path, SQUIRE_GATEWAY_SOCKET=str(gateway), SQUIRE_GATEWAY_PORT=str(_free_port()))
    assert done.returncode == 120
    assert desk.result()["error"]["code"] == "relay_failed"


def test_no_relay_where_the_socket_is_not_there(desk_for: DeskFor, run: Run, tmp_path: Path) -> None:
    desk = desk_for(["true"])
    assert run(desk, SQUIRE_GATEWAY_SOCKET=str(tmp_path / "none.sock")).returncode == 0
