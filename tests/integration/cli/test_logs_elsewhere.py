"""`squire logs` of a task whose attempts ran on another machine."""

from pathlib import Path

import pytest

from squire_pipelines.domain.endings import Cause
from tests.support.cli import SampleData, Squire


def test_the_story_of_a_task_has_the_lines_of_an_agent_on_another_machine(
    squire: Squire, samples: SampleData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = samples.ended(Cause.AGENT_ERROR)
    monkeypatch.setenv("SQUIRE_FILES__URL", f"file://{tmp_path}/mounted")
    monkeypatch.setenv("SQUIRE_FILES__TRIES", "1")
    stored = tmp_path / "mounted" / "attempts" / f"{task_id}-1"
    stored.mkdir(parents=True)
    (stored / "agent.log").write_text("the agent was here\n")
    assert "the agent was here" in squire.ok("logs", task_id)
    assert "first" not in squire.ok("tasks", "logs", task_id, "-n", "1")
    (tmp_path / "mounted").rename(tmp_path / "unmounted")
    shown = squire("logs", task_id)
    assert shown.exit_code == 0
    assert "logs on other machines are not shown: the store" in shown.stderr
