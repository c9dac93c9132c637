"""What a cycle says of ready tasks whose agents cannot start."""

from datetime import UTC, datetime

import pytest

from squire_pipelines.errors import EngineError
from squire_pipelines.runtime.agent_starts import AgentStarts
from squire_pipelines.runtime.cycle import CycleState, look
from tests.support.ledgers import add_task
from tests.support.pipeline import HANDBOOK, QUIET, Pipeline


def test_a_cycle_goes_on_while_one_task_can_start_and_ends_when_none_is_left(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    quiet_pipeline.configure(f'[repository."{HANDBOOK}".agent]\nrunner = "docker"\n')
    for name in (HANDBOOK, HANDBOOK, QUIET):
        add_task(quiet_pipeline.ledger, repository=name)
    lines: list[str] = []
    starts = AgentStarts(quiet_pipeline.ledger, quiet_pipeline.settings, say=lines.append)

    def state(*names: str) -> CycleState:
        return look(quiet_pipeline.ledger, names, [], datetime.now(UTC))

    assert starts.look(state(QUIET)) is None
    assert lines == []
    assert starts.look(state(HANDBOOK, QUIET)) is None
    assert isinstance(starts.look(state(HANDBOOK)), EngineError)
    (line,) = lines
    assert line.startswith(f"{HANDBOOK}: tasks for the agent ")
    assert "no container engine answers" in line
