"""What a cycle says of ready tasks whose agents cannot start."""

from datetime import UTC, datetime

import pytest

from squire_pipelines.domain.endings import SETTINGS_MARK, Cause, Ending, Evidence
from squire_pipelines.errors import ConfigError, EngineError, SquireError
from squire_pipelines.execution.settings_mark import settings_mark
from squire_pipelines.ledger import attempts
from squire_pipelines.runtime.agent_starts import AgentStarts
from squire_pipelines.runtime.cycle import CycleState, look
from tests.support.ledgers import RETRY, add_task, start_attempt, token_of
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


def test_a_cycle_ends_when_all_that_is_left_waits_for_the_users_change(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = quiet_pipeline
    mark = settings_mark(pipeline.settings, HANDBOOK)
    attempt = start_attempt(pipeline.ledger, repository=HANDBOOK)
    evidence = Evidence(error_code="provider_refused", facts={SETTINGS_MARK: mark})
    ending = Ending(cause=Cause.CONFIGURATION, message="Set the key own-key.", evidence=evidence)
    with pipeline.ledger.write() as tx:
        attempts.settle(tx, attempt.id, token_of(attempt), ending, retry=RETRY, actor="run:run-1")
    lines: list[str] = []

    def problem() -> SquireError | None:
        starts = AgentStarts(pipeline.ledger, pipeline.settings, say=lines.append)
        return starts.look(look(pipeline.ledger, [HANDBOOK], [], datetime.now(UTC)))

    error = problem()
    assert isinstance(error, ConfigError)
    assert "Set the key own-key." in str(error)
    assert lines == [f"{HANDBOOK}: tasks wait for a change of yours: Set the key own-key."]
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "m" * 20)
    assert problem() is None, "the key is another: the task goes on"
