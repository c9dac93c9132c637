"""What a plan would bring: its tasks with what each will likely cost, and what it leaves out and why."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from squire_pipelines.domain.agent_choice import TaskTraits, first_choices
from squire_pipelines.domain.cost_prediction import CostHistory, PredictedCost, predict_cost
from squire_pipelines.domain.plans import PlanFinding
from squire_pipelines.domain.signals import FailedCheck, OpenIssue, OpenPullRequest, ReviewFinding, Signal
from squire_pipelines.domain.tasks import Plan, TaskSpec
from squire_pipelines.execution.assignment import resolve
from squire_pipelines.execution.group_planning import GroupBasis, MadeGroupPlan, find_group_problems
from squire_pipelines.execution.planning import PlanBasis, find_problems, requests_in
from squire_pipelines.execution.requests import approval_rule, request_inputs
from squire_pipelines.ledger.plans import SavedPlan
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.task_creation import made_before
from squire_pipelines.planning.left_out import LeftOut, left_out_of, tasks_left_out
from squire_pipelines.settings.model import Settings


@dataclass(frozen=True, slots=True)
class TaskPreview:
    """A task that would be made.

    Args:
        spec: What is to be done.
        is_requested: Whether a person asks for it, by a label or a task file; no planner made it.
        starts: Whether it starts without a person's approval.
        costs: With each agent that its first attempt may get.
    """

    spec: TaskSpec
    is_requested: bool
    starts: bool
    costs: tuple[PredictedCost, ...]

    @property
    def why(self) -> str:
        """Why there is this task, in words for people."""
        facts = f"answers {', '.join(self.spec.signals)}" if self.spec.signals else "the goals ask for it"
        reasons = [f"asked for: {facts}" if self.is_requested else facts]
        if others := [ref for ref in self.spec.evidence if ref not in self.spec.signals]:
            reasons.append(f"judged by {', '.join(others)}")
        return "; ".join((*reasons, *self.spec.confidence_factors))


@dataclass(frozen=True, slots=True)
class PlanPreview:
    """What a plan would bring; with `findings` it becomes no task. `before` is the newest plan."""

    plan: Plan
    tasks: tuple[TaskPreview, ...]
    findings: tuple[PlanFinding, ...]
    left_out: tuple[LeftOut, ...]
    before: SavedPlan | None


def preview_plan(
    tx: Transaction,
    settings: Settings,
    basis: PlanBasis,
    plan: Plan,
    *,
    default_branch: str | None,
    history: CostHistory,
) -> PlanPreview:
    """Return what a plan would bring if it became tasks now.

    Args:
        tx: Reads.
        settings: Those that hold in the repository.
        basis: What the plan was made from.
        plan: Of `plan_repository`.
        default_branch: None for an empty repository.
        history: What tasks cost by kind and model.
    """
    times = settings.planner.max_tasks_per_fact
    requests = requests_in(settings, basis, default_branch=default_branch)
    repeated = made_before(tx, plan, {signal.ref: signal.version for signal in basis.signals}, times=times)
    inputs = request_inputs(settings, basis.repository, basis.signals, basis.covered, default_branch=default_branch)
    covers = approval_rule(settings).covers
    planned = ((spec, spec in requests) for spec in (*requests, *plan.tasks) if spec.key not in repeated)
    return PlanPreview(
        plan,
        tuple(
            TaskPreview(
                spec,
                is_requested,
                covers(spec),
                tuple(_costs(settings, basis.repository, basis.signals, spec, history)),
            )
            for spec, is_requested in planned
        ),
        find_problems(settings, basis, plan),
        left_out_of(plan, inputs, basis.covered, requests=requests, made_before=repeated),
        basis.latest,
    )


def preview_group(
    tx: Transaction,
    settings: Settings,
    basis: GroupBasis,
    made: MadeGroupPlan,
    *,
    settings_of: Callable[[str], Settings],
    history: CostHistory,
) -> PlanPreview:
    """Return what a plan over several repositories would bring if it became tasks now.

    Args:
        tx: Reads.
        settings: The operator's.
        basis: What the plan was made from.
        made: Of `plan_group`.
        settings_of: Gives those that hold in a repository.
        history: What tasks cost by kind and model.
    """
    plan = made.plan
    repeated = made_before(tx, plan, {}, times=1)
    tasks = []
    for spec in plan.tasks:
        if spec.key in repeated:
            continue
        name = spec.repository or basis.group.repositories[0]
        own = settings_of(name)
        costs = tuple(_costs(own, name, (), spec, history))
        tasks.append(TaskPreview(spec, is_requested=False, starts=approval_rule(own).covers(spec), costs=costs))
    findings = find_group_problems(settings, basis, made)
    return PlanPreview(plan, tuple(tasks), findings, tasks_left_out(plan, repeated), basis.latest)


def _costs(
    settings: Settings, repository: str, signals: Sequence[Signal], spec: TaskSpec, history: CostHistory
) -> Iterator[PredictedCost]:
    by_ref = {signal.ref: signal for signal in signals}
    labels = frozenset(label for ref in spec.signals if ref in by_ref for label in _labels(by_ref[ref], by_ref))
    traits = TaskTraits("", repository, spec.kind, labels, spec.agent)
    for choice in first_choices(traits, settings.choice_rules(repository)):
        agent = resolve(settings, repository, choice)
        yield predict_cost(agent.agent, agent.model, spec.kind, history)


def _labels(signal: Signal, by_ref: Mapping[str, Signal]) -> tuple[str, ...]:
    """Return the labels of what a signal is about, as they decide which agent its task gets."""
    match signal.details:
        case OpenIssue(labels=labels) | OpenPullRequest(labels=labels):
            return labels
        case FailedCheck(pull_request=int() as number) | ReviewFinding(pull_request=int() as number):
            pull = by_ref.get(f"open_pr:{number}")
            return _labels(pull, by_ref) if pull is not None else ()
        case _:
            return ()
