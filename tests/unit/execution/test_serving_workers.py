"""Agents wait for a worker with their labels, and the reason says so."""

import pytest

from squire_pipelines.execution.serving_workers import ServedAgents
from squire_pipelines.sections.agents import AgentSettings

PLACES = {"agent": 2, "agent+gpu": 0, "follow": 9, "worker.w1": 2}


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ((), None),
        (("gpu",), "all places of the workers with gpu are taken"),
        (("large",), "no live worker serves agents with the label large"),
    ],
)
def test_an_agent_waits_for_a_worker_with_its_labels(labels: tuple[str, ...], reason: str | None) -> None:
    problem = ServedAgents(PLACES).problem(AgentSettings(worker_labels=labels))
    assert (problem.message if problem else None) == reason


def test_so_many_attempts_start_as_workers_would_take() -> None:
    assert ServedAgents(PLACES).free == 2
    nobody = ServedAgents()
    assert nobody.free == 0
    problem = nobody.problem(AgentSettings())
    assert problem is not None
    assert problem.message == "no live worker serves the queue agent"
    assert "squire worker" in problem.hint
