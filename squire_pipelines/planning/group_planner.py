"""Plans several repositories together, by the goals of their group. Those goals need a model: rules read none."""

from collections.abc import Mapping, Sequence

from squire_pipelines.domain.duplicates import KnownWork, leave_out_known
from squire_pipelines.domain.group_members import GroupMember
from squire_pipelines.domain.plan_groups import group_subject
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.planning.digest import group_digest
from squire_pipelines.planning.goal_files import read_goals
from squire_pipelines.planning.input_recording import record_inputs
from squire_pipelines.planning.planner import Sources, ask_model
from squire_pipelines.planning.rules import plan_by_rules
from squire_pipelines.planning.selection import PlanInputs, select
from squire_pipelines.sections.goals import PlanGroup
from squire_pipelines.settings.goals import group_goals
from squire_pipelines.settings.model import Settings


async def make_group_plan(
    settings: Settings,
    group: PlanGroup,
    members: Sequence[GroupMember],
    sources: Sources,
    known_work: Mapping[str, Sequence[KnownWork]],
    *,
    fall_back: bool = True,
) -> Plan:
    """Plan several repositories together; without a model there are no tasks.

    Args:
        settings: Has `planner`.
        group: One of its groups.
        members: Its repositories that have a commit.
        sources: By which a model is asked.
        known_work: Tasks that a new one must not repeat, by repository.
        fall_back: Whether there is a plan without tasks when a model gives no usable plan.

    Raises:
        ConfigError: A model is to be asked, and a file of the prompt or of goals cannot be used.
        PlanningError: A model gave no usable plan, and there is to be none in its place.
    """
    planner = settings.planner
    inputs = PlanInputs(
        group_subject(group.name),
        (),
        members[0].default_branch if members else None,
        issue_labels=(),
        covered=(),
        max_tasks=planner.max_tasks,
        bounds=planner.task_bounds,
        members=tuple(members),
    )
    made_by = {"settings_digest": group_digest(settings, group), "inputs": record_inputs(inputs, select(inputs))}
    plan = plan_by_rules(inputs).model_copy(update=made_by)
    if planner.kind == "rules" or planner.model is None:
        note = f"the goals of the group {group.name} need a model: set planner.model"
        return plan.model_copy(update={"notes": (note, *plan.notes)})
    goals = read_goals(group_goals(planner.group.index(group), group))
    if not members or not goals:
        return plan
    plan = await ask_model(settings, inputs, plan, sources, goals=goals, fall_back=fall_back)
    known = {name: (*known_work.get(name, ()), *works) for name, works in inputs.open_pull_requests.items()}
    return leave_out_known(plan, known)
