"""`squire agents build` where no engine answers: what it lists, and what it refuses."""

from pathlib import Path

import pytest

from tests.support.cli import Squire


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")


def test_programs_are_listed_with_versions_and_who_may_build_them(squire: Squire) -> None:
    document = squire.json("agents", "build", "--list")
    by_name = {row["name"]: row for row in document["programs"]}
    assert by_name["claude-code"]["ours_to_ship"] is False
    assert by_name["codex"]["registry"] == "npm"
    assert by_name["mini-swe-agent"]["registry"] == "pypi"
    assert {row["image"] for row in document["programs"]} == {None}
    assert "no container engine answers" in document["problem"]
    assert "built by you alone" in squire.ok("agents", "build", "--list")


def test_it_says_which_programs_there_are_and_that_it_needs_an_engine(squire: Squire) -> None:
    assert "claude-code" in squire.fails(2, "agents", "build")
    assert "there is no program 'opencode'" in squire.fails(3, "agents", "build", "opencode")
    assert "make engine" in squire.fails(4, "agents", "build", "claude-code")
