"""Why a fact needs no task, in words for people. Which facts those are is in the ledger: `covered_facts`. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class CoveredBy(StrEnum):
    """What covers a fact: a task of it is unfinished or has an open pull request, its limit of tasks, or a no."""

    TASK = "task"
    TIMES = "times"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class CoveredFact:
    """What covers one fact, and by which task where one alone does."""

    by: CoveredBy
    task_id: str = ""

    def __str__(self) -> str:
        match self.by:
            case CoveredBy.TASK:
                return f"the task {self.task_id} is under way, or its pull request is open"
            case CoveredBy.CLOSED:
                return f"the pull request of the task {self.task_id} was closed, and nobody has asked for it since"
            case CoveredBy.TIMES:
                return "as many tasks were made of it as may be (`planner.max_tasks_per_fact`)"
