"""Pure checks of a plan: whether it may become tasks, and which of them may start without a person."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from squire_pipelines.domain.branches import OWN_BRANCHES
from squire_pipelines.domain.budgets import Amount, Limit
from squire_pipelines.domain.globs import matches
from squire_pipelines.domain.tasks import EstimatedSize, LeftOutReason, LeftOutTask, Plan, Risk, TaskSpec

SCHEMA, RULES, BUDGET, DUPLICATES = PLAN_CHECKS = ("schema", "rules", "budget", "duplicates")
"""What a plan that becomes tasks must pass; what each holds is said where it is checked."""


@dataclass(frozen=True, slots=True)
class PlanFinding:
    """One problem of a plan: which check of `PLAN_CHECKS`, which task, and why."""

    check: str
    task: str | None
    message: str


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """When a planned task may start without a person: its confidence is high enough and its risk low enough.

    One that is to change a protected path which it may not ask for waits for a person, since its work would be refused.
    """

    automatic: bool
    min_confidence: float
    max_risk: Risk

    def covers(self, spec: TaskSpec) -> bool:
        """Return whether `spec` is ready at once; otherwise it is proposed and waits for a person."""
        is_sure = spec.confidence >= self.min_confidence and spec.risk.rank <= self.max_risk.rank
        return self.automatic and is_sure and not unasked(spec)


def unasked(spec: TaskSpec) -> tuple[str, ...]:
    """Return the protected paths that a task is to change and does not ask for by name."""
    return tuple(path for path in spec.protected_paths if matches(path, spec.allow_protected) is None)


@dataclass(frozen=True, slots=True)
class AdmissionRule:
    """How planned tasks of a repository come into the ledger.

    Which may start, how often each is tried, and what the names of their branches begin with.
    """

    approval: ApprovalRule
    max_attempts: int
    branch_prefix: str = OWN_BRANCHES


@dataclass(frozen=True, slots=True)
class SizeBounds:
    """The largest change that one task may be estimated at; a larger one is to be split."""

    max_files: int = 5
    max_lines: int = 500

    def excess(self, size: EstimatedSize | None) -> str | None:
        """Return what is too large; None where nothing is, or where nobody estimated."""
        if size is None or (size.files <= self.max_files and size.lines <= self.max_lines):
            return None
        return f"it is estimated at {size}; the limit is {EstimatedSize(files=self.max_files, lines=self.max_lines)}"


DEFAULT_BOUNDS = SizeBounds()


def leave_out(plan: Plan, omissions: Iterable[LeftOutTask]) -> Plan:
    """Return the plan without these tasks, and without those that depend on one of them, directly or not.

    What depends on one for which a task of the ledger stands is kept.
    """
    left_out = {omission.key: omission for omission in omissions}
    while True:
        missing = {omission.key for omission in left_out.values() if omission.task_id is None}
        further = [_after(task, missing) for task in plan.tasks if task.key not in left_out]
        if not (added := {omission.key: omission for omission in further if omission is not None}):
            break
        left_out |= added
    tasks = tuple(task for task in plan.tasks if task.key not in left_out)
    return plan.model_copy(update={"tasks": tasks, "left_out": (*plan.left_out, *left_out.values())})


def _after(task: TaskSpec, left_out: Collection[str]) -> LeftOutTask | None:
    missing = next((key for key in task.depends_on if key in left_out), None)
    if missing is None:
        return None
    message = f"it depends on the task {missing!r}, which is left out"
    return omit(task, LeftOutReason.DEPENDENCY, message)


def omit(
    task: TaskSpec, reason: LeftOutReason, message: str, *, duplicate_of: str | None = None, task_id: str | None = None
) -> LeftOutTask:
    """Return what is kept of a task that is left out."""
    return LeftOutTask(
        key=task.key,
        title=task.title,
        signals=task.signals,
        reason=reason,
        message=message,
        duplicate_of=duplicate_of,
        task_id=task_id,
    )


def leave_out_large(plan: Plan, bounds: SizeBounds) -> Plan:
    """Return the plan without the tasks that are estimated above the bounds, and without what depends on them."""
    excesses = ((task, bounds.excess(task.size)) for task in plan.tasks)
    large = [omit(task, LeftOutReason.TOO_LARGE, excess) for task, excess in excesses if excess is not None]
    return leave_out(plan, large) if large else plan


def check_keys(plan: Plan) -> Iterator[PlanFinding]:
    """Check that no two tasks have one key."""
    seen: set[str] = set()
    for task in plan.tasks:
        if task.key in seen:
            yield PlanFinding(SCHEMA, task.key, f"two tasks have the key {task.key!r}")
        seen.add(task.key)


def check_dependencies(plan: Plan) -> Iterator[PlanFinding]:
    """Check that dependencies name tasks of this plan, or of the ledger by what it left out, and form no cycle."""
    keys = {task.key for task in plan.tasks}
    repeated = {omission.key for omission in plan.left_out if omission.task_id is not None}
    graph: dict[str, set[str]] = {}
    for task in plan.tasks:
        for dependency in task.depends_on:
            if dependency not in keys | repeated:
                yield PlanFinding(SCHEMA, task.key, f"depends on {dependency!r}, which is no task of this plan")
        graph[task.key] = set(task.depends_on) & keys
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        yield PlanFinding(SCHEMA, None, f"the dependencies form a cycle: {cycle}")


def check_signals(plan: Plan, known: Collection[str]) -> Iterator[PlanFinding]:
    """Check that tasks answer facts that were seen, not invented ones."""
    for task in plan.tasks:
        for ref in task.signals:
            if ref not in known:
                yield PlanFinding(RULES, task.key, f"answers the signal {ref!r}, which was not seen")


def check_size(plan: Plan, *, max_tasks: int) -> Iterator[PlanFinding]:
    """Check that a plan has at most `max_tasks` tasks."""
    if len(plan.tasks) > max_tasks:
        yield PlanFinding(RULES, None, f"{len(plan.tasks)} tasks, the limit is {max_tasks}")


def check_bounds(plan: Plan, bounds: SizeBounds) -> Iterator[PlanFinding]:
    """Check that no task is estimated at more than one task may change."""
    for task in plan.tasks:
        if (excess := bounds.excess(task.size)) is not None:
            yield PlanFinding(RULES, task.key, excess)


def check_use(plan: Plan, cap: Limit) -> Iterator[PlanFinding]:
    """Check that the model used no more than a plan may, for each provider that was asked."""
    if plan.use is None:
        return
    asked = len({step.provider for step in plan.steps if step.provider is not None}) or 1
    used = Amount(plan.use.cost_usd or 0.0, plan.use.input_tokens + plan.use.output_tokens)
    most = Limit(
        usd=None if cap.usd is None else cap.usd * asked, tokens=None if cap.tokens is None else cap.tokens * asked
    )
    if not used.fits(most):
        limits = (f"{most.usd:.4f} USD" if most.usd is not None else "", f"{most.tokens} tokens" if most.tokens else "")
        message = (
            f"the model used {used.usd:.4f} USD and {used.tokens} tokens for it, and may use "
            f"{' and '.join(filter(None, limits))}: raise `budgets.plan`, or take a model that needs less"
        )
        yield PlanFinding(BUDGET, None, message)


def check_plan(plan: Plan, *, known_signals: Collection[str], max_tasks: int) -> tuple[PlanFinding, ...]:
    """Return what is wrong with a plan by itself, whoever made it: its schema first, then the rules."""
    return (
        *check_keys(plan),
        *check_dependencies(plan),
        *check_signals(plan, known_signals),
        *check_size(plan, max_tasks=max_tasks),
    )


def uncertain_tasks(plan: Plan, min_confidence: float) -> tuple[TaskSpec, ...]:
    """Return the tasks of which the planner is less sure than those must be that start without a person."""
    return tuple(task for task in plan.tasks if task.confidence < min_confidence)
