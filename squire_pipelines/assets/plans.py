"""The assets `task_plan` and `tasks`: from signals to a checked plan, and from a plan that passed to rows that run.

Here: who is asked for a plan and what is reported. Not here: planning, its checks (`domain.plans`), rows (`ledger`).
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from squire_pipelines.assets.concurrency import gather_bounded
from squire_pipelines.assets.group_plans import GROUPS, GROUPS_TEXT, admit_groups, groups_of_run, plan_groups
from squire_pipelines.assets.page_urls import board_link, repository_links
from squire_pipelines.assets.signal_sources import OWNERS, SOURCES, signal_key
from squire_pipelines.assets.tables import preview
from squire_pipelines.assets.task_reports import TASKS, report_tasks
from squire_pipelines.domain.plans import PLAN_CHECKS, uncertain_tasks
from squire_pipelines.domain.tasks import Plan, TaskSpec
from squire_pipelines.errors import SquireError
from squire_pipelines.observability.logging import bound_context
from squire_pipelines.partitions import repositories
from squire_pipelines.resources.parameters import GitHubParam, LedgerParam, SettingsParam
from squire_pipelines.run_config import RunConfig
from squire_pipelines.settings.model import Settings
from squire_pipelines.traces import run_trace, traces_by_repository

if TYPE_CHECKING:
    from squire_pipelines.execution.planning import PlanBasis
    from squire_pipelines.github.client import GitHubClient
    from squire_pipelines.github.connection import GitHub
    from squire_pipelines.ledger.plans import SavedPlan
    from squire_pipelines.ledger.store import Ledger

TASK_PLAN = dg.AssetKey(["task_plan"])
PULL_REQUESTS = dg.AssetKey(["pull_requests"])
BUDGETS = dg.AssetKey(["budgets"])
PLANNED = "planned"
CONFIDENCE = "confidence"
_CHECKS = {
    PLANNED: "A planner gave a plan, and a model its own where one is set (else a warning).",
    "schema": "Tasks have names of their own, and depend on tasks of the plan without a cycle.",
    "rules": "Tasks answer facts that were seen, no task is too large for one, and no plan has too many.",
    "budget": "The model used no more than a plan may (`budgets.plan`).",
    "duplicates": "No task repeats another one, known work or an open pull request, and no fact is answered twice.",
}


class PlanConfig(RunConfig):
    """What to plan: `repositories` narrows the run's partitions.

    `again` plans even when nothing has changed, and asks a model anew.
    """

    repositories: list[str] = []
    again: bool = False


@dg.multi_asset(
    name="plan_tasks",
    specs=[
        dg.AssetSpec(
            TASK_PLAN,
            description="The tasks that the planner proposes for each repository, from its signals and goals.",
            group_name="planning",
            kinds={"llm", "json"},
            owners=OWNERS,
            deps=[signal_key(source) for source in SOURCES],
            partitions_def=repositories,
            skippable=True,
        ),
        dg.AssetSpec(
            TASKS,
            description="Tasks of plans that passed every check: ready to run, or proposed and waiting for approval.",
            group_name="planning",
            kinds={"sql"},
            owners=OWNERS,
            deps=[TASK_PLAN],
            partitions_def=repositories,
            skippable=True,
        ),
    ],
    check_specs=[
        dg.AssetCheckSpec(
            name, asset=TASK_PLAN, blocking=True, description=f"{text} A plan that fails becomes no task."
        )
        for name, text in _CHECKS.items()
    ]
    + [
        dg.AssetCheckSpec(
            CONFIDENCE,
            asset=TASK_PLAN,
            description="Warns of tasks of which the planner is less sure than `planner.min_confidence`: they wait.",
        ),
        dg.AssetCheckSpec(GROUPS, asset=TASK_PLAN, description=GROUPS_TEXT),
    ],
    partitions_def=repositories,
    backfill_policy=dg.BackfillPolicy.single_run(),
    can_subset=True,
)
def plan_tasks(
    context: dg.AssetExecutionContext,
    config: PlanConfig,
    settings: SettingsParam,
    ledger: LedgerParam,
    github: GitHubParam,
) -> Iterator[dg.MaterializeResult[None]]:
    """Plan for every repository of the run whose signals have changed, then make tasks of the plans that passed."""
    from squire_pipelines.ledger import collections

    with run_trace(context) as trace_id:
        names = config.repositories or list(context.partition_keys)
        with ledger.read() as tx:  # by now: a plan marks its readings
            own_traces = {} if config.again else collections.unplanned_traces(tx, names)
        trace_of = traces_by_repository(own_traces, trace_id)
        # Before the plan: a request waits for no model, and the plan then sees that a task answers it.
        asked = _take_requests(ledger, settings, names, trace_of) if TASKS in context.selected_asset_keys else {}
        if TASK_PLAN in context.selected_asset_keys:
            asyncio.run(_plan(context, config, settings, ledger, github, trace_id=trace_id, trace_of=trace_of))
        if TASKS in context.selected_asset_keys:
            _admit(context, ledger, settings, names, asked, trace_of=trace_of)
    yield from ()  # the events are logged one by one, per partition


async def _plan(
    context: dg.AssetExecutionContext,
    config: PlanConfig,
    settings: Settings,
    ledger: "Ledger",
    github: "GitHub",
    *,
    trace_id: str,
    trace_of: Callable[[str], str],
) -> None:
    from squire_pipelines.execution.planning import recorded_basis
    from squire_pipelines.execution.repository_settings import repository_settings
    from squire_pipelines.ledger import collections

    own = repository_settings(ledger, settings)
    names = _not_stopped(context, own.stopped, config.repositories or list(context.partition_keys))
    again = config.again or not config.repositories

    async with github.client() as client:

        async def plan(repository: str) -> None:
            effective = own.of(repository)
            with ledger.read() as tx:
                basis = recorded_basis(tx, effective, repository)
            if basis.is_planned and not again:
                context.log.info(f"{repository}: nothing has changed since its last plan")
                with ledger.write() as tx:
                    collections.mark_planned(tx, repository, basis.newest)
                return
            trace = trace_of(repository)
            with bound_context(repository=repository, trace_id=trace):
                outcome = await _plan_one(effective, client, basis, ledger, trace, fresh=config.again)
            _record(context, ledger, basis, outcome, effective, trace_id=trace)

        await gather_bounded(names, plan, limit=settings.collection.max_concurrent_repositories)
        groups = groups_of_run(context, settings, names, own.stopped)
        await plan_groups(context, own, client, ledger, groups, again=again, fresh=config.again, trace_id=trace_id)


def _not_stopped(context: dg.AssetExecutionContext, stopped: Mapping[str, str], names: list[str]) -> list[str]:
    """Return the repositories that may be planned for, and log why others may not."""
    for name in names:
        if name in stopped:
            context.log.warning(f"{name}: nothing is planned: {stopped[name]}")
    return [name for name in names if name not in stopped]


async def _plan_one(
    settings: Settings, client: "GitHubClient", basis: "PlanBasis", ledger: "Ledger", trace_id: str, *, fresh: bool
) -> Plan | SquireError:
    from squire_pipelines.execution.planning import plan_repository
    from squire_pipelines.github.lookup import repository_info

    try:
        info = await repository_info(client, basis.repository)
        return await plan_repository(settings, ledger, basis, info=info, trace_id=trace_id, fresh=fresh)
    except SquireError as error:
        return error


def _record(
    context: dg.AssetExecutionContext,
    ledger: "Ledger",
    basis: "PlanBasis",
    outcome: Plan | SquireError,
    settings: Settings,
    *,
    trace_id: str,
) -> None:
    from squire_pipelines.domain.plan_failures import NOT_MADE
    from squire_pipelines.domain.plans import PlanFinding
    from squire_pipelines.execution.planning import save_plan
    from squire_pipelines.ledger import collections, plan_retries, plans

    if isinstance(outcome, SquireError):
        context.log.error(f"{basis.repository}: no plan: {outcome}")
        with ledger.write() as tx:
            collections.mark_planned(tx, basis.repository, basis.newest)
            if basis.latest is None:  # what says why there is none yet
                empty = Plan(repository=basis.repository, planner="rules", signals_digest="")
                finding = PlanFinding(NOT_MADE, None, str(outcome))
                plans.save(tx, empty, [finding], trace_id=trace_id, run_id=context.run.run_id)
            has_plan = basis.latest is not None and basis.latest.plan.signals_digest
            wait = timedelta(seconds=settings.planner.retry_base_s) if has_plan else None
            plan_retries.put_off(tx, basis.repository, wait, reason=str(outcome))
        _report_check(context, settings, basis.repository, PLANNED, [(None, str(outcome))])
        return
    with ledger.write() as tx:
        saved = save_plan(tx, settings, basis, outcome, trace_id=trace_id, run_id=context.run.run_id)
    links = repository_links(settings, basis.repository, "/plans") | board_link(settings, f"/plans/{saved.id}")
    metadata = {**_plan_metadata(saved, basis, trace_id), **links}
    context.log_event(dg.AssetMaterialization(TASK_PLAN, partition=basis.repository, metadata=metadata))
    _report_checks(context, settings, saved)


def _plan_metadata(saved: "SavedPlan", basis: "PlanBasis", trace_id: str) -> dict[str, Any]:
    plan, use = saved.plan, saved.plan.use
    made: dict[str, Any] = {
        "provider": plan.provider,
        "model": plan.model,
        "prompt_version": plan.prompt_version,
        "ask_again_at": None if saved.ask_again_at is None else saved.ask_again_at.isoformat(),
        **({} if use is None else use.model_dump()),
    }
    return {
        "plan": saved.id,
        "planner": plan.planner,
        **{name: value for name, value in made.items() if value is not None},
        "provisional": plan.provisional,
        "tasks": len(plan.tasks),
        "signals": len(basis.signals),
        "already_answered": len(basis.covered),
        "trace_id": trace_id,
        "notes": preview(("note",), ((note,) for note in plan.notes)),
        "steps": preview(("step",), ((str(step),) for step in plan.steps)),
        "left_out": len(plan.left_out),
        "left_out_preview": preview(
            ("task", "title", "reason", "duplicate of", "why"),
            ((t.key, t.title, t.reason, t.duplicate_of or "", t.message) for t in plan.left_out),
        ),
        "preview": preview(
            ("task", "title", "kind", "priority", "risk", "confidence", "size", "depends on", "answers", "rests on"),
            map(_task_cells, plan.tasks),
        ),
    }


def _task_cells(task: TaskSpec) -> tuple[object, ...]:
    rests_on = "; ".join(task.confidence_factors)
    lists = (", ".join(task.depends_on), ", ".join(task.signals), rests_on)
    return (task.key, task.title, task.kind, task.priority.name.lower(), task.risk, task.confidence, task.size, *lists)


def _report_checks(context: dg.AssetExecutionContext, settings: Settings, saved: "SavedPlan") -> None:
    """Report each check; two warn: where the rules planned since a model gave no plan, and of what is not sure."""
    repository, warning = saved.plan.repository, _warning(saved)
    _report_check(context, settings, repository, PLANNED, [(None, warning)] if warning is not None else [], warns=True)
    for name in PLAN_CHECKS:
        problems = [(finding.task, finding.message) for finding in saved.findings if finding.check == name]
        _report_check(context, settings, repository, name, problems)
    least = settings.planner.min_confidence
    unsure = [
        (task.key, f"{task.confidence:.2f} is less than {least:.2f}: {'; '.join(task.confidence_factors)}")
        for task in uncertain_tasks(saved.plan, least)
    ]
    _report_check(context, settings, repository, CONFIDENCE, unsure, warns=True, blocking=False)


def _report_check(
    context: dg.AssetExecutionContext,
    settings: Settings,
    repository: str,
    name: str,
    problems: Sequence[tuple[str | None, str]],
    *,
    warns: bool = False,
    blocking: bool = True,
) -> None:
    """Report one check of a repository's plan, with its problems: a task, or None for the whole plan, and why."""
    context.log_event(
        dg.AssetCheckEvaluation(
            asset_key=TASK_PLAN,
            check_name=name,
            passed=not problems,
            severity=dg.AssetCheckSeverity.WARN if warns and problems else dg.AssetCheckSeverity.ERROR,
            partition=repository,
            blocking=blocking,
            description="; ".join(message for _, message in problems) or None,
            metadata={
                "findings": len(problems),
                "preview": preview(("task", "why"), problems),
                **repository_links(settings, repository, "/plans"),
            },
        )
    )


def _warning(saved: "SavedPlan") -> str | None:
    if not saved.plan.model_failed:
        return None
    again = f"; it is asked again at {saved.ask_again_at:%Y-%m-%d %H:%M} UTC" if saved.ask_again_at is not None else ""
    provisional = "provisional: " if saved.plan.provisional else ""
    return f"{provisional}{next(iter(saved.plan.notes), 'planned by rules')}{again}"


def _take_requests(
    ledger: "Ledger", settings: Settings, names: list[str], trace_of: Callable[[str], str]
) -> dict[str, tuple[str, ...]]:
    """Make tasks of what people ask for by a label or a task file; return the new tasks' ids by repository."""
    from squire_pipelines.execution.repository_settings import repository_settings
    from squire_pipelines.execution.requests import take_requests

    own = repository_settings(ledger, settings)
    asked: dict[str, tuple[str, ...]] = {}
    for repository in names:
        if repository not in own.stopped:
            with ledger.write() as tx:
                asked[repository] = take_requests(tx, own.of(repository), repository, trace_id=trace_of(repository))
    return asked


def _admit(
    context: dg.AssetExecutionContext,
    ledger: "Ledger",
    settings: Settings,
    names: list[str],
    asked: Mapping[str, tuple[str, ...]],
    *,
    trace_of: Callable[[str], str],
) -> None:
    """Make tasks of the plans that passed their checks, once each; a plan with findings becomes no task.

    `asked` are the tasks that were made of people's requests: they are reported with those of the plan.
    """
    from squire_pipelines.execution.planning import admit_plan
    from squire_pipelines.execution.repository_settings import repository_settings
    from squire_pipelines.ledger import plans

    own = repository_settings(ledger, settings)
    admitted: dict[str, tuple[SavedPlan | None, tuple[str, ...]]] = {}
    for repository in _not_stopped(context, own.stopped, names):
        created = asked.get(repository, ())
        with ledger.write() as tx:
            saved = plans.latest(tx, repository)
            if saved is not None and saved.admitted_at is not None:
                saved = None
            if saved is not None and saved.findings:
                context.log.warning(f"{repository}: plan {saved.id} failed its checks, nothing is admitted")
                saved = None
            if saved is not None:
                created += admit_plan(tx, own.of(repository), saved)
        admitted[repository] = (saved, created)
    groups = groups_of_run(context, settings, names, own.stopped)
    for repository, ids in admit_groups(context, settings, ledger, groups, own).items():
        saved, created = admitted.get(repository, (None, ()))
        admitted[repository] = (saved, created + ids)
    for repository, (saved, created) in admitted.items():
        if saved is not None or created:
            trace = trace_of(repository)
            report_tasks(context, ledger, own.of(repository), repository, created, saved=saved, trace_id=trace)


budgets_spec = dg.AssetSpec(
    BUDGETS,
    description="What work may cost and has cost: the ledger's reservations by day, month and repository.",
    group_name="delivery",
    kinds={"sql"},
    owners=OWNERS,
    deps=[TASKS],
)

pull_requests = dg.AssetSpec(
    PULL_REQUESTS,
    description="The pull requests that attempts opened. Reported by `agent_run`; their state is in the ledger.",
    group_name="delivery",
    kinds={"github", "git"},
    owners=OWNERS,
    deps=[TASKS],
    partitions_def=repositories,
)
