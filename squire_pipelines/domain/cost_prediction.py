"""What a task will likely cost, by what tasks of its kind cost with the same model. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

MIN_TASKS = 5
"""With fewer, a range would be a guess."""


@dataclass(frozen=True, slots=True)
class TaskCosts:
    """What tasks of one kind cost with one model, in US dollars, all attempts together.

    Of ten tasks one cost less than `low_usd` and one more than `high_usd`; half of them cost less than `usual_usd`.
    """

    tasks: int
    low_usd: float
    usual_usd: float
    high_usd: float


CostHistory = Mapping[tuple[str, str], TaskCosts]
"""By the tasks' kind and the model."""


@dataclass(frozen=True, slots=True)
class PredictedCost:
    """What a task will likely cost with one agent that may get it; `costs` is None where `why` says why nobody knows.

    Args:
        agent: Its name in the settings.
        model: None where the agent calls none that is set.
        tasks: How many tasks of the kind the history has with this model.
        costs: Of these tasks.
        why: In words for people.
    """

    agent: str
    model: str | None
    tasks: int
    costs: TaskCosts | None
    why: str

    def __str__(self) -> str:
        if self.costs is None:
            return f"not known: {self.why}"
        costs = self.costs
        return f"{costs.low_usd:.2f} to {costs.high_usd:.2f} USD, usually {costs.usual_usd:.2f} ({self.why})"


def predict_cost(agent: str, model: str | None, kind: str, history: CostHistory) -> PredictedCost:
    """Return what a task of a kind will likely cost with an agent and its model."""
    if model is None:
        return PredictedCost(agent, None, 0, None, f"the agent {agent} calls no model that the settings name")
    costs = history.get((kind, model))
    tasks = costs.tasks if costs is not None else 0
    if costs is None or tasks < MIN_TASKS:
        ended = f"{tasks} task{'' if tasks == 1 else 's'} of the kind {kind} with {model}"
        return PredictedCost(agent, model, tasks, None, f"too little history: {ended}, and {MIN_TASKS} are needed")
    return PredictedCost(agent, model, tasks, costs, f"by {tasks} tasks of the kind {kind} with {model}")
