"""Choosing the planner: by rules or by model, and the rules as the fallback that a plan's notes always tell of."""

from collections.abc import Callable, Collection, Sequence

from squire_pipelines.domain.signals import Signal
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.errors import PlanningError
from squire_pipelines.planning.digest import signals_digest
from squire_pipelines.planning.llm import plan_by_model
from squire_pipelines.planning.quoting import one_line
from squire_pipelines.planning.rules import plan_by_rules
from squire_pipelines.planning.schema import ModelCall
from squire_pipelines.planning.selection import select
from squire_pipelines.settings import Settings

__all__ = ["ModelCall", "make_plan", "signals_digest"]


async def make_plan(
    settings: Settings,
    repository: str,
    signals: Sequence[Signal],
    *,
    default_branch: str | None,
    covered: Collection[str],
    api_key: Callable[[], str | None],
    on_call: Callable[[ModelCall], None],
    reserve: Callable[[], int | None] = lambda: None,
) -> Plan:
    """Plan one repository with the planner that the settings name.

    `auto` asks a model when one is set. A model is not asked when there is nothing to plan: no signal that may become
    a task, and no goals. When it gives no usable plan the rules plan instead, and the plan's first note says why.

    Args:
        settings: `planner`, and the repository's overrides.
        repository: `owner/name`.
        signals: All current signals of the repository.
        default_branch: None for an empty repository.
        covered: Refs of signals that an active task or an open pull request already answers.
        api_key: Finds the model's key; called only when a model is asked.
        on_call: Is told of every conversation with a model.
        reserve: Called before one. Gives the most tokens that it may use, None for any number; raises PlanningError
            when the budget has no room for it.
    """
    planner = settings.planner
    labels = settings.issue_labels_for(repository)
    by_rules = plan_by_rules(
        repository,
        signals,
        default_branch=default_branch,
        issue_labels=labels,
        covered=covered,
        max_tasks=planner.max_tasks,
    )
    if planner.kind == "rules" or planner.model is None:
        return by_rules
    candidates = select(signals, default_branch=default_branch, issue_labels=labels, covered=covered).candidates
    if default_branch is None or not (candidates or planner.goals.strip()):
        return by_rules
    try:
        max_tokens = reserve()
        return await plan_by_model(
            repository,
            signals,
            default_branch=default_branch,
            issue_labels=labels,
            covered=covered,
            max_tasks=planner.max_tasks,
            model=planner.model,
            base_url=planner.base_url,
            api_key=api_key(),
            goals=planner.goals,
            timeout_s=planner.timeout_s,
            max_retries=planner.max_retries,
            max_tokens=max_tokens,
            on_call=on_call,
        )
    except PlanningError as error:
        note = f"planned by rules, since the model failed ({error.code}): {one_line(str(error), 600)}"
        return by_rules.model_copy(update={"notes": (note, *by_rules.notes)})
