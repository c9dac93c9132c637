"""Plans over several repositories, as a part of the assets `task_plan` and `tasks` of their first repository.

Here: which groups a run plans, and what is reported of them. Not here: planning and rows (`execution.group_planning`).
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines.assets.concurrency import gather_bounded
from squire_pipelines.assets.page_urls import board_link, repository_links
from squire_pipelines.assets.tables import preview
from squire_pipelines.errors import SquireError
from squire_pipelines.sections.goals import PlanGroup
from squire_pipelines.settings.model import Settings

if TYPE_CHECKING:
    from squire_pipelines.execution.group_planning import GroupBasis, MadeGroupPlan
    from squire_pipelines.execution.repository_settings import RepositorySettings
    from squire_pipelines.github.client import GitHubClient
    from squire_pipelines.ledger.plans import SavedPlan
    from squire_pipelines.ledger.store import Ledger

GROUPS = "groups"
GROUPS_TEXT = "The plans over several repositories that this one comes first of were made, and passed their checks."


def groups_of_run(
    context: dg.AssetExecutionContext, settings: Settings, names: Iterable[str], stopped: Mapping[str, str]
) -> tuple[PlanGroup, ...]:
    """Return the groups whose first repository a run plans, without those of which a repository is stopped."""
    usable = []
    for group in settings.planner.group:
        if group.repositories[0] not in names:
            continue
        if reason := next((f"{name}: {stopped[name]}" for name in group.repositories if name in stopped), None):
            context.log.warning(f"the group {group.name}: nothing is planned: {reason}")
            continue
        usable.append(group)
    return tuple(usable)


async def plan_groups(
    context: dg.AssetExecutionContext,
    own: "RepositorySettings",
    client: "GitHubClient",
    ledger: "Ledger",
    groups: Iterable[PlanGroup],
    *,
    again: bool,
    fresh: bool,
    trace_id: str,
) -> None:
    """Make the plans of these groups that are due, or all of them `again`; `fresh` asks a model anew."""
    from squire_pipelines.execution.group_planning import group_basis, plan_group, save_group_plan

    settings = own.operator
    results: dict[str, list[str]] = {}
    by_name = {group.name: group for group in groups}

    async def plan(name: str) -> None:
        group = by_name[name]
        with ledger.read() as tx:
            basis = group_basis(tx, settings, group)
        if basis.unread:
            context.log.info(f"the group {group.name} waits for a reading of {', '.join(basis.unread)}")
            return
        if basis.is_planned and not again:
            return
        try:
            outcome: MadeGroupPlan | SquireError = await plan_group(
                settings, client, ledger, basis, settings_of=own.of, trace_id=trace_id, fresh=fresh
            )
        except SquireError as error:
            context.log.error(f"the group {group.name}: no plan: {error}")  # noqa: TRY400 - its message says all
            outcome = error
        with ledger.write() as tx:
            saved = save_group_plan(tx, settings, basis, outcome, trace_id=trace_id, run_id=context.run.run_id)
        results.setdefault(group.repositories[0], []).extend(_problems(group, outcome, saved))
        if saved is not None:
            _observe(context, settings, basis, saved)

    await gather_bounded(list(by_name), plan, limit=settings.collection.max_concurrent_repositories)
    for repository, problems in results.items():
        _report(context, settings, repository, problems)


def _problems(group: PlanGroup, outcome: "MadeGroupPlan | SquireError", saved: "SavedPlan | None") -> list[str]:
    if isinstance(outcome, SquireError):
        return [f"{group.name}: no plan: {outcome}"]
    if saved is not None and saved.findings:
        return [f"{group.name}: {finding.message}" for finding in saved.findings]
    return [f"{group.name}: {outcome.plan.notes[0]}"] if outcome.plan.model_failed and outcome.plan.notes else []


def _observe(context: dg.AssetExecutionContext, settings: Settings, basis: "GroupBasis", saved: "SavedPlan") -> None:
    """Report a group's plan as an observation: the materialization is that of the repository's own plan."""
    plan, first = saved.plan, basis.group.repositories[0]
    rows = ((t.key, t.repository or "", t.title, ", ".join(t.depends_on)) for t in plan.tasks)
    context.log_event(
        dg.AssetObservation(
            "task_plan",
            partition=first,
            metadata={
                "group": basis.group.name,
                "plan": saved.id,
                "planner": plan.planner,
                "tasks": len(plan.tasks),
                "left_out": len(plan.left_out),
                "notes": preview(("note",), ((note,) for note in plan.notes)),
                **repository_links(settings, first, "/plans"),
                **board_link(settings, f"/plans/{saved.id}"),
                "preview": preview(("task", "repository", "title", "depends on"), rows),
            },
        )
    )


def _report(context: dg.AssetExecutionContext, settings: Settings, repository: str, problems: list[str]) -> None:
    context.log_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(["task_plan"]),
            check_name=GROUPS,
            passed=not problems,
            partition=repository,
            blocking=False,
            severity=dg.AssetCheckSeverity.ERROR,
            description="; ".join(problems) or None,
            metadata={"problems": len(problems), **repository_links(settings, repository, "/plans")},
        )
    )


def admit_groups(
    context: dg.AssetExecutionContext,
    settings: Settings,
    ledger: "Ledger",
    groups: Iterable[PlanGroup],
    own: "RepositorySettings",
) -> dict[str, tuple[str, ...]]:
    """Make the tasks of these groups' plans that passed; return their ids by repository."""
    from squire_pipelines.execution.group_planning import admit_groups_plan
    from squire_pipelines.ledger import tasks

    created: dict[str, tuple[str, ...]] = {}
    for group in groups:
        with ledger.write() as tx:
            ids = admit_groups_plan(tx, settings, group, own.of)
            for task_id in ids:
                name = tasks.get(tx, task_id).repository
                created[name] = (*created.get(name, ()), task_id)
        if ids:
            context.log.info(f"the group {group.name}: {len(ids)} new tasks")
    return created
