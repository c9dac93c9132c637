"""What the engine is asked before a dispatch, when it does not answer: all questions together have one deadline."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.agents import engine
from squire_pipelines.agents.preflight import Preflight
from squire_pipelines.deadline import Deadline
from squire_pipelines.errors import EngineError
from squire_pipelines.sections.agents import AgentSettings

# Without a deadline each question takes `preflight.TIMEOUT_S`, 10 s.
pytestmark = pytest.mark.timeout(8)


@pytest.fixture
def silent_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An engine that takes connections and answers nothing; its address, which is `DOCKER_HOST`."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder) / "engine.sock"
        listener.bind(str(path))
        listener.listen(64)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        yield f"unix://{path}"


def agent(pids: int = 100, runner: str = "docker") -> AgentSettings:
    return AgentSettings.model_validate(
        {"kind": "command", "command": ["true"], "runner": runner, "limits": {"pids": pids}}
    )


@pytest.mark.usefixtures("silent_engine")
def test_a_silent_engine_takes_no_longer_for_many_agents_than_the_deadline() -> None:
    asked, deadline = Preflight(), Deadline.after(0.3)
    problems = [asked.problem(agent(pids), deadline) for pids in range(100, 120)]
    assert all(isinstance(problem, EngineError) for problem in problems)
    assert all("timed out" in str(problem) for problem in problems)


@pytest.mark.usefixtures("silent_engine")
def test_an_agent_without_a_container_is_fine_when_no_time_is_left() -> None:
    assert Preflight().problem(agent(runner="local"), Deadline.after(0)) is None


@pytest.mark.usefixtures("silent_engine")
def test_an_answer_that_the_deadline_cut_off_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Preflight(cached_s=3600)
    assert "timed out" in str(asked.problem(agent(), Deadline.after(0)))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    later = asked.problem(agent(), Deadline.after(30))
    assert "no such file" in str(later)
    assert asked.problem(agent(), Deadline.after(30)) is later


def test_silent_engines_are_left_out_by_the_deadline(silent_engine: str) -> None:
    with engine.connect_all(5, hosts=(silent_engine, silent_engine + "/"), deadline=Deadline.after(0.3)) as clients:
        assert clients == []


def test_a_deadline_within_another_is_never_later() -> None:
    outer = Deadline.after(10)
    assert outer.within(1e9) == outer
    assert outer.within(1).at < outer.at
    assert not outer.is_past
    assert outer.within(-1).is_past
    assert outer.within(-1).remaining_s == 0
