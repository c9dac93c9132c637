"""Planning by rules or by a model, and by the rules when the model fails, which the plan's notes then say."""

from collections.abc import Callable, Collection, Sequence

from squire_pipelines.domain.signals import Signal
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.errors import ModelRefusedError, PlanningError
from squire_pipelines.planning.llm import ModelOptions, plan_by_model
from squire_pipelines.planning.quoting import one_line
from squire_pipelines.planning.rules import plan_by_rules
from squire_pipelines.planning.schema import ModelCall
from squire_pipelines.planning.selection import PlanInputs, select
from squire_pipelines.settings import Settings


async def make_plan(
    settings: Settings,
    repository: str,
    signals: Sequence[Signal],
    *,
    default_branch: str | None,
    covered: Collection[str],
    api_key: Callable[[], str | None],
    on_call: Callable[[ModelCall], None],
    reserve: Callable[[], int | None],
) -> Plan:
    """Plan one repository with the planner that the settings name.

    `auto` asks a model when one is set. A model is not asked when there is nothing to plan: no signal that may become
    a task, and no goals. When it gives no usable plan the rules plan instead, and the plan's first note says why.

    Args:
        settings: `planner`, and the repository's overrides.
        repository: See `PlanInputs`, also for the next three.
        signals: All of the repository.
        default_branch: Of the repository.
        covered: Refs of signals.
        api_key: Finds the key of the planner's provider; called only when a model is asked.
        on_call: Called with each conversation with a model.
        reserve: Called before one. Gives the most tokens that it may use, None for any number; raises PlanningError
            when the budget has no room for it.
    """
    planner = settings.planner
    inputs = PlanInputs(
        repository,
        signals,
        default_branch,
        settings.issue_labels_for(repository),
        covered,
        planner.max_tasks,
        settings.filters_for(repository).rules,
    )
    by_rules = plan_by_rules(inputs)
    if planner.kind == "rules" or planner.model is None:
        return by_rules
    if default_branch is None or not (select(inputs).candidates or planner.goals.strip()):
        return by_rules
    try:
        provider, key = settings.planner_provider, api_key()
        if (fault := provider.key_fault(key)) is not None:
            raise ModelRefusedError(fault.message, hint=fault.hint)
        max_tokens = reserve()
        options = ModelOptions(
            planner.model,
            provider=provider,
            api_key=key,
            goals=planner.goals,
            timeout_s=planner.timeout_s,
            max_retries=planner.max_retries,
            max_tokens=max_tokens,
        )
        return await plan_by_model(inputs, options, on_call=on_call)
    except PlanningError as error:
        note = f"planned by rules, since the model failed ({error.code}): {one_line(str(error), 600)}"
        return by_rules.model_copy(update={"notes": (note, *by_rules.notes)})
