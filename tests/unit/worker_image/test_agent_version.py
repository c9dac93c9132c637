"""The version of an agent's program: what the image recorded goes before what the program says."""

import json
from pathlib import Path
from typing import Any

import pytest
from squire_worker import agent
from squire_worker.contract import Attempt, Paths

from tests.unit.worker_image.test_contract import GOOD


@pytest.mark.parametrize(
    ("recorded", "version"),
    [({}, "asked 1"), ({"tool": "7"}, "7"), ({"tool-agent": "8"}, "8"), ({"tool": "7", "tool-agent": "8"}, "7")],
)
def test_a_recorded_version_is_found_by_the_programs_or_the_agents_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: dict[str, str], version: str
) -> None:
    folders = {name: tmp_path / name for name in ("etc", "bin", "in", "out", "work")}
    for folder in folders.values():
        folder.mkdir()
    (folders["work"] / "repo").mkdir()
    program = folders["bin"] / "tool"
    program.write_text("#!/bin/sh\necho asked 1\n", encoding="utf-8")
    program.chmod(0o755)
    for name, text in recorded.items():
        (folders["etc"] / f"{name}.version").write_text(f"{text}\n", encoding="utf-8")
    monkeypatch.setattr(agent, "VERSIONS", folders["etc"])
    monkeypatch.setenv("PATH", f"{folders['bin']}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(folders["work"]))
    started: dict[str, Any] = {
        **GOOD["agent"],
        "kind": "tool-agent",
        "argv": ["tool"],
        "version": ["tool", "--version"],
    }
    attempt = Attempt.parse(json.dumps({**GOOD, "agent": started}))
    paths = Paths(folders["in"], folders["out"], folders["work"])
    assert agent.Agent(paths, attempt, 8787).ask_version() == version
