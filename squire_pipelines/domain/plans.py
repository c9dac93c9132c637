"""Pure checks of a plan: whether it may become tasks, and which of them may start without a person."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from squire_pipelines.domain.tasks import Plan, Risk, TaskSpec


@dataclass(frozen=True, slots=True)
class PlanFinding:
    """One problem of a plan: which check, which task, and why."""

    check: str
    task: str | None
    message: str


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """When a planned task may start without a person: its confidence is high enough and its risk low enough."""

    automatic: bool
    min_confidence: float
    max_risk: Risk

    def covers(self, spec: TaskSpec) -> bool:
        """Return whether `spec` is ready at once; otherwise it is proposed and waits for a person."""
        return self.automatic and spec.confidence >= self.min_confidence and spec.risk.rank <= self.max_risk.rank


def check_keys(plan: Plan) -> Iterator[PlanFinding]:
    """Check that no two tasks have one key."""
    seen: set[str] = set()
    for task in plan.tasks:
        if task.key in seen:
            yield PlanFinding("unique_keys", task.key, f"two tasks have the key {task.key!r}")
        seen.add(task.key)


def check_dependencies(plan: Plan) -> Iterator[PlanFinding]:
    """Check that dependencies name tasks of this plan and form no cycle."""
    keys = {task.key for task in plan.tasks}
    graph: dict[str, set[str]] = {}
    for task in plan.tasks:
        for dependency in task.depends_on:
            if dependency not in keys:
                yield PlanFinding("dependencies", task.key, f"depends on {dependency!r}, which is no task of this plan")
        graph[task.key] = set(task.depends_on) & keys
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        yield PlanFinding("dependencies", None, f"the dependencies form a cycle: {cycle}")


def check_signals(plan: Plan, known: Collection[str]) -> Iterator[PlanFinding]:
    """Check that tasks answer facts that were seen, not invented ones."""
    for task in plan.tasks:
        for ref in task.signals:
            if ref not in known:
                yield PlanFinding("known_signals", task.key, f"answers the signal {ref!r}, which was not seen")


def check_size(plan: Plan, *, max_tasks: int) -> Iterator[PlanFinding]:
    """Check that a plan has at most `max_tasks` tasks."""
    if len(plan.tasks) > max_tasks:
        yield PlanFinding("size", None, f"{len(plan.tasks)} tasks, the limit is {max_tasks}")


PLAN_CHECKS = ("unique_keys", "dependencies", "known_signals", "size")


def check_plan(plan: Plan, *, known_signals: Collection[str], max_tasks: int) -> tuple[PlanFinding, ...]:
    """Return all findings of all checks, in the order of `PLAN_CHECKS`."""
    return (
        *check_keys(plan),
        *check_dependencies(plan),
        *check_signals(plan, known_signals),
        *check_size(plan, max_tasks=max_tasks),
    )
