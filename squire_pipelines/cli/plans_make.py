"""`squire plans make`: plan repositories and groups now, and show what each task is for and will cost."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from squire_pipelines.cli.context import (
    CliContext,
    Columns,
    emit_json,
    json_option,
    seconds_option,
    with_context,
)
from squire_pipelines.cli.failures import fail, note
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.plan_differences import describe_use, differences_as_json, write_differences
from squire_pipelines.cli.run import hand_on_config, show_retries
from squire_pipelines.cli.text import counted, instant
from squire_pipelines.domain.cost_prediction import CostHistory
from squire_pipelines.domain.plan_comparison import compare_plans
from squire_pipelines.domain.plan_groups import is_group
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import ExitCode, SquireError
from squire_pipelines.settings.goals import group_named
from squire_pipelines.terminal.output import write_line

if TYPE_CHECKING:
    from squire_pipelines.execution.plan_preview import PlanPreview, TaskPreview
    from squire_pipelines.runtime.make_plans import MadePlan

MAX_LEFT_OUT = 20
"""Of one plan, shown to people; `--json` has all."""


@command(
    "make",
    examples=(
        "squire plans make acme/api --dry-run          # what would be done, why, and at what cost",
        "squire plans make acme/api acme/web --dry-run --diff",
        "squire plans make acme/api                    # read it, plan, and make the tasks",
        "squire plans make --group checkout --dry-run  # the plan over several repositories",
    ),
)
@click.argument("repositories", nargs=-1, metavar="[OWNER/REPO]...")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="Plan this group of the settings; repeatable.")
@click.option(
    "--dry-run", is_flag=True, help="Only show the plan; nothing is written but what a model costs and answers."
)
@click.option("--diff", is_flag=True, help="Compare with the newest plan of each, task by task.")
@click.option("--no-collect", is_flag=True, help="Plan from what was read last, and read nothing anew.")
@seconds_option("--timeout", 900, "Wait this long for a reading, where tasks are made.")
@json_option
@with_context
def make(
    context: CliContext,
    repositories: tuple[str, ...],
    groups: tuple[str, ...],
    timeout: float,
    *,
    dry_run: bool,
    diff: bool,
    no_collect: bool,
    as_json: bool,
) -> None:
    """Plan repositories or groups now, side by side, and make the tasks; with --dry-run only show what would be made.

    Shown are the tasks, why each is there, what it will likely cost by the history of its kind and model, and what is
    left out and why. Where a model is set, it plans: what it is paid for is reserved and recorded, and its answer is
    kept, so that the same question is not paid for again. The rules do not plan in its place, as they do in a cycle.

    A group is planned by its own goals, over all of its repositories. What there is no plan for is named with the
    reason, and the others go on. Exit codes: 3 where the model's key, name or quota has to be put right, 4 where it or
    GitHub does not answer, 5 where a budget has no room or a repository is stopped, 1 where a model's answer is no
    plan, a plan fails a check or a repository is not there; of several it is that of the first.
    """
    if not (repositories or groups):
        raise click.UsageError("name a repository, or a group with --group")
    from squire_pipelines.cli.unlock import unlock_store  # noqa: PLC0415 - the other commands start sooner
    from squire_pipelines.runtime.make_plans import PlanMaker  # noqa: PLC0415 - likewise
    from squire_pipelines.settings.named_repositories import repositories_of_cycle  # noqa: PLC0415 - likewise

    hand_on_config(context)
    settings = context.settings
    unlock_store(context, settings.secret_sources)
    show_retries()
    to_plan = tuple(group_named(settings, name) for name in dict.fromkeys(groups))
    names = repositories_of_cycle(settings, repositories) if repositories else ()
    if not dry_run and not no_collect:
        members = (name for group in to_plan for name in group.repositories)
        _read(context, tuple(dict.fromkeys((*names, *members))), timeout)

    def say(line: str) -> None:
        write_line(line, err=True)

    maker = PlanMaker(settings, context.ledger, _history(context), keep=not dry_run, reads=not no_collect, say=say)
    made = maker.make(names, to_plan)
    if as_json:
        emit_json([_as_json(one, diff=diff) for one in made])
    else:
        for one in made:
            _write(context, one, dry_run=dry_run, diff=diff)
    raise SystemExit(_code(made))


def _read(context: CliContext, names: Sequence[str], timeout_s: float) -> None:
    from squire_pipelines.runtime import reading  # noqa: PLC0415 - see above

    def say(line: str) -> None:
        write_line(line, err=True)

    code = reading.read(
        context.settings, context.ledger, names, say=say, timeout_s=timeout_s, as_json=False, fresh=False
    )
    if code is not ExitCode.DONE:
        note("not everything was read: the plans are made from what was read before")


def _history(context: CliContext) -> CostHistory:
    path = context.warehouse
    if not path.exists():
        note("the warehouse has not been published yet, so that nobody knows what tasks cost: `squire history publish`")
        return {}
    from squire_pipelines.warehouse.cost_history import read_cost_history  # noqa: PLC0415 - DuckDB

    try:
        return read_cost_history(path)
    except SquireError as error:
        note(f"what tasks cost is not known: {error}")
        return {}


def _code(made: Sequence["MadePlan"]) -> ExitCode:
    codes = (one.error.exit_code for one in made if one.error is not None)
    failed = any(one.preview is not None and one.preview.findings for one in made)
    return next(codes, ExitCode.FAILED if failed else ExitCode.DONE)


def _as_json(one: "MadePlan", *, diff: bool) -> dict[str, Any]:
    if one.error is not None or one.preview is None:
        error = one.error or SquireError("no plan")
        return {
            "repository": one.repository,
            "error": {"code": error.code, "message": error.message, "hint": error.hint},
        }
    preview = one.preview
    plan = preview.plan
    content: dict[str, Any] = {
        "repository": one.repository,
        "plan": one.saved.id if one.saved is not None else None,
        "planner": plan.planner,
        "model": plan.model,
        "provider": plan.provider,
        "prompt_version": plan.prompt_version,
        "cache_hit": plan.use is not None and plan.use.cache_hit,
        "use": plan.use,
        "notes": plan.notes,
        "remarks": one.remarks,
        "findings": preview.findings,
        "tasks": [_task_as_json(task) for task in preview.tasks],
        "left_out": preview.left_out,
        "created": [{"id": task.id, "title": task.title, "status": task.status} for task in one.created],
    }
    if diff:
        before = preview.before
        compared = compare_plans(before.plan.tasks if before is not None else (), plan.tasks)
        content["compared_with"] = before.id if before is not None else None
        content["differences"] = differences_as_json(compared, _reasons(preview))
    return content


def _task_as_json(task: "TaskPreview") -> dict[str, Any]:
    return {
        **task.spec.model_dump(mode="json"),
        "requested": task.is_requested,
        "starts": task.starts,
        "why": task.why,
        "cost": task.costs,
    }


def _write(context: CliContext, one: "MadePlan", *, dry_run: bool, diff: bool) -> None:
    if one.error is not None or one.preview is None:
        error = one.error or SquireError("no plan")
        fail(f"{one.repository}: {error.message}", error.hint)
        return
    preview = one.preview
    plan = preview.plan
    result = "would be made (dry run: nothing was changed)" if dry_run else "in the plan"
    by = one_line(plan.planner)
    write_line(f"{one.repository}: {counted(len(preview.tasks), 'task')} {result}, by {by}{describe_use(plan.use)}")
    for remark in (*one.remarks, *plan.notes):
        write_line(f"note: {one_line(remark)}")
    _write_tasks(context, preview)
    for finding in preview.findings:
        write_line(f"finding: {finding.check}: {one_line(finding.message)}; no task is made of this plan")
    _write_left_out(preview)
    if diff:
        before = preview.before
        name = f"the plan {before.id} of {instant(before.created_at)}" if before is not None else "no plan before"
        compared = compare_plans(before.plan.tasks if before is not None else (), plan.tasks)
        write_differences(compared, name, _reasons(preview))
    if one.saved is not None:
        write_line(f"saved as the plan {one.saved.id}: {counted(len(one.created), 'new task')}")
        for task in one.created:
            write_line(f"  {task.id}  {task.status}  {one_line(task.title)}")
    write_line("")


def _reasons(preview: "PlanPreview") -> dict[str, str]:
    return {one.name: one.message for one in preview.left_out}


def _write_tasks(context: CliContext, preview: "PlanPreview") -> None:
    if not preview.tasks:
        return
    columns: Columns = {
        "key": lambda task: task.spec.key,
        **({"repository": lambda task: task.spec.repository} if is_group(preview.plan.repository) else {}),
        "title": lambda task: task.spec.title,
        "kind": lambda task: task.spec.kind,
        "priority": lambda task: task.spec.priority.name.lower(),
        "risk": lambda task: task.spec.risk,
        "confidence": lambda task: f"{task.spec.confidence:.2f}",
        "starts": lambda task: "at once" if task.starts else "when approved",
    }
    context.write_rows(preview.tasks, columns, spare=("confidence", "kind", "risk"))
    for task in preview.tasks:
        key = one_line(task.spec.key)
        write_line(f"{key}: why: {one_line(task.why)}")
        if task.spec.depends_on:
            write_line(f"{key}: waits for {one_line(', '.join(task.spec.depends_on))}")
        for cost in task.costs:
            with_agent = f" with {one_line(cost.agent)}" if len(task.costs) > 1 else ""
            write_line(f"{key}: cost{with_agent}: {one_line(str(cost))}")
    write_line(_total(preview))


def _total(preview: "PlanPreview") -> str:
    """Return what all tasks together will likely cost, from the least to the most by whichever agents."""
    known = [[cost.costs for cost in task.costs if cost.costs is not None] for task in preview.tasks]
    without = sum(not costs for costs in known)
    if without == len(known):
        return "all tasks together: the cost is not known"
    low = sum(min(cost.low_usd for cost in costs) for costs in known if costs)
    high = sum(max(cost.high_usd for cost in costs) for costs in known if costs)
    rest = f", and {counted(without, 'task')} whose cost is not known" if without else ""
    return f"all tasks together: {low:.2f} to {high:.2f} USD{rest}"


def _write_left_out(preview: "PlanPreview") -> None:
    for one in preview.left_out[:MAX_LEFT_OUT]:
        write_line(f"left out: {one_line(one.name)} ({one_line(one.title)}): {one_line(one.message)}")
    rest = Counter(one.reason.replace("_", " ") for one in preview.left_out[MAX_LEFT_OUT:])
    if rest:
        write_line(f"left out: {', '.join(f'{count} more {reason}' for reason, count in rest.items())}")
