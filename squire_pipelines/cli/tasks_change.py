"""`squire tasks approve|reject|start|cancel|retry`: a person's changes of named tasks or of all that filters select.

All tasks of one command are changed in one transaction; one that cannot be changed does not keep the others.
"""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from squire_pipelines.cli.context import CliContext, Decorator, with_context, with_home
from squire_pipelines.cli.failures import fail
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import TASK_ID
from squire_pipelines.cli.person import actor, confirm
from squire_pipelines.cli.task_filters import filter_options
from squire_pipelines.cli.text import counted
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.tasks import Priority, TaskStatus
from squire_pipelines.errors import ExitCode, SquireError
from squire_pipelines.ledger import bulk
from squire_pipelines.ledger.dependencies import Dependency, dependencies_of
from squire_pipelines.ledger.task_query import TaskQuery
from squire_pipelines.observability.logging import bound_context
from squire_pipelines.terminal.output import write_labelled, write_line

if TYPE_CHECKING:
    from squire_pipelines.ledger.tasks import Task

_SHOWN = 50
"""How many tasks are named one by one; of more, their number is shown."""

_ASK_WITHIN_S = 30.0

_LEVELS = tuple(member.name.lower() for member in Priority)

_ids_argument = click.argument("task_ids", metavar="[ID]...", type=TASK_ID, nargs=-1)


def _selection_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select the tasks: by their ids, or all that a filter selects."""
    options: tuple[Decorator, ...] = (
        _ids_argument,
        click.option("--all", "select_all", is_flag=True, help="Change all tasks that the filters select."),
        filter_options("status", "repository", "kind", "cause", "text", "created-until"),
        click.option("--yes", is_flag=True, help="Do not ask before all that match are changed."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _change(
    context: CliContext, change: bulk.Change, task_ids: tuple[str, ...], *, select_all: bool, yes: bool, **filters: Any
) -> None:
    """Make a change to the tasks that were named, or to all that the filters select."""
    if select_all == bool(task_ids) or (any(filters.values()) and not select_all):
        raise click.UsageError("name tasks by their ids, or use --all, with filters if you like")
    selection: TaskQuery | tuple[str, ...] = task_ids
    if select_all:
        filters["statuses"] = filters.get("statuses") or tuple(sorted(change.expected))
        selection = TaskQuery(**filters)
        if not yes:
            with context.ledger.read() as tx:
                count = len(bulk.ids_of(tx, selection))
            if count:
                action = change.name if change.priority is None else "set the priority of"
                confirm(f"{action} {counted(count, 'task')}", hint="name the tasks, or add --yes")
    trace_id = new_trace_id()
    with bound_context(trace_id=trace_id), context.ledger.write() as tx:
        report = bulk.bulk_update(tx, selection, change, actor=actor(), trace_id=trace_id)
        needed = dependencies_of(tx, task_ids) if change.is_start else {}
    if select_all and not report.count:
        write_line("No task matches.")
    _show_report(report, change, needed)


def _show_report(
    report: bulk.BulkReport, change: bulk.Change, needed: Mapping[str, tuple[Dependency, ...]] = MappingProxyType({})
) -> None:
    for status, ids in report.changed.items():
        state = _new_state(status, change)
        names = ids if report.count <= _SHOWN else (f"{len(ids)} tasks",)
        for name in names:
            missing = [one.task_id for one in needed.get(name, ()) if one.status is not TaskStatus.SUCCEEDED]
            write_line(f"{name}: {state}" + (f", as soon as {', '.join(missing)} succeeded" if missing else ""))
    for unmatched in report.unmatched[:_SHOWN]:
        fail(unmatched.reason, unmatched.hint)
    if len(report.unmatched) > _SHOWN:
        fail(f"{len(report.unmatched) - _SHOWN} more tasks were not changed")
    if report.unmatched:
        raise SystemExit(ExitCode.FAILED)


def _new_state(status: TaskStatus, change: bulk.Change) -> str:
    if change.priority is not None:
        return f"{status}, {change.reason}"
    if change.is_start:
        return f"{status}, before all others"
    if status is TaskStatus.RUNNING:
        return "asked to stop"
    if change.more_attempts:
        return f"ready, up to {counted(change.more_attempts, 'more attempt')}"
    return str(status)


@command("approve", examples=("squire tasks approve t0m1e2x3a4m5p6l", "squire tasks approve --all --kind fix_ci"))
@_selection_options
@with_home
def approve(context: CliContext, /, **selection: Any) -> None:
    """Approve proposed tasks: they become ready and are dispatched as soon as there is a slot."""
    _change(context, bulk.approve(), **selection)


@command("reject", examples=('squire tasks reject t0m1e2x3a4m5p6l --reason "not worth it"',))
@_selection_options
@click.option("--reason", default="rejected", show_default=True, help="Keep this reason in the task's history.")
@with_home
def reject(context: CliContext, /, reason: str, **selection: Any) -> None:
    """Reject proposed tasks: they end as cancelled."""
    _change(context, bulk.reject(reason), **selection)


@command("start", examples=("squire tasks start t0m1e2x3a4m5p6l", "squire tasks start --yes"))
@_ids_argument
@click.option("--yes", is_flag=True, help="Do not ask before all proposed tasks are approved.")
@with_context
def start(context: CliContext, task_ids: tuple[str, ...], *, yes: bool) -> None:
    """Start the given tasks before all others, or approve all proposed ones when none is named.

    A named task is started as soon as there is a slot: it passes the order of the queue, the caps on pull requests
    (`dispatch.max_open_pull_requests`, `max_new_pull_requests_per_hour`) and the time before which it should not run.
    One that is proposed is approved with it. Budgets, dependencies and a change of settings that it waits for hold.
    """
    if task_ids:
        _change(context, bulk.start(), task_ids, select_all=False, yes=yes)
        return
    if not context.read_tasks(TaskQuery(statuses=("proposed",), limit=1)).rows:
        write_line("No task waits for approval.")
        return
    _change(context, bulk.approve(), task_ids, select_all=True, yes=yes)


@command(
    "cancel",
    examples=(
        "squire tasks cancel t0m1e2x3a4m5p6l",
        "squire tasks cancel --all --status ready --repository owner/name",
    ),
)
@_selection_options
@click.option("--reason", default="cancelled", show_default=True, help="Keep this reason in the task's history.")
@with_home
def cancel(context: CliContext, /, reason: str, **selection: Any) -> None:
    """Cancel tasks. A running task is asked to stop, and the run that supervises its container removes it."""
    _change(context, bulk.cancel(reason), **selection)


@command(
    "priority",
    examples=("squire tasks priority t0m1e2x3a4m5p6l high", "squire tasks priority --all --kind fix_ci critical"),
)
@_selection_options
@click.argument("level", metavar="|".join(_LEVELS), type=click.Choice(_LEVELS))
@with_home
def priority(context: CliContext, /, level: str, **selection: Any) -> None:
    """Give tasks another priority than the one they were planned with.

    Tasks are started by priority and then by how long they wait. A waiting task counts one priority higher after each
    `dispatch.priority_step_s` (6 hours), so that none waits for ever.
    """
    _change(context, bulk.prioritise(Priority[level.upper()]), **selection)


@command("retry", examples=("squire tasks retry t0m1e2x3a4m5p6l", "squire tasks retry --all --cause provider_error"))
@_selection_options
@with_home
def retry(context: CliContext, /, **selection: Any) -> None:
    """Let failed or cancelled tasks run again, with as many new attempts as the settings allow.

    A named task whose pull request was closed is done again by a new task, with a pull request of its own. One whose
    pull request was left to people is followed again, from the head that it has now.
    """
    ids: tuple[str, ...] = selection.pop("task_ids")
    if not selection["select_all"]:
        _learn_heads(context, ids)
    taken_up = () if selection["select_all"] else _take_up(context, ids)
    closed = () if selection["select_all"] else _closed_among(context, ids)
    for task in closed:
        _do_again(context, task)
    rest = tuple(task_id for task_id in ids if task_id not in {*taken_up, *(task.id for task in closed)})
    if rest or not (closed or taken_up):
        _change(context, bulk.retry(context.settings.dispatch.max_attempts), rest, **selection)


def _learn_heads(context: CliContext, ids: tuple[str, ...]) -> None:
    """Record the present heads of the tasks' pull requests that were left to people: a push may not be known yet.

    Where GitHub does not say, they are taken up from the heads that are known, and the person hears so.
    """
    from squire_pipelines.ledger import followed_pulls, outcomes  # noqa: PLC0415 - only this command needs them

    with context.ledger.read() as tx:
        owners = dict.fromkeys(owner for one in ids for owner in (one, followed_pulls.owner_of(tx, one)) if owner)
        left = [one for owner in owners if (one := outcomes.get(tx, owner)) is not None and one.handed_over is not None]
    if not left:
        return
    from squire_pipelines.execution.present_pull import record_present_pull  # noqa: PLC0415 - likewise
    from squire_pipelines.github.connection import GitHub  # noqa: PLC0415 - likewise

    async def ask() -> None:
        async with asyncio.timeout(_ASK_WITHIN_S), GitHub(context.settings, context.ledger).client() as client:
            for one in left:
                await record_present_pull(client, context.ledger, one.repository, one.pr_number)

    try:
        asyncio.run(ask())
    except (SquireError, TimeoutError) as error:
        write_labelled(
            "not asked", f"GitHub does not say which head it has now: {error or 'it is too slow'}", color="yellow"
        )


def _take_up(context: CliContext, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Follow those of the tasks' pull requests again that were left to people; return these tasks.

    A task that adds to such a pull request has it followed again, too, and is retried as any other.
    """
    from squire_pipelines.ledger import followed_pulls, tasks  # noqa: PLC0415 - only this command needs them

    who, reason = actor(), "asked for at a terminal"
    with context.ledger.write() as tx:
        added_to = [owner for one in ids if (owner := followed_pulls.owner_of(tx, one)) is not None]
        named = list(dict.fromkeys((*ids, *added_to)))
        taken = [one for one in named if followed_pulls.take_up(tx, one, actor=who, reason=reason)]
        # What GitHub had not taken is tried again by that already.
        retried = [
            one
            for one in ids
            if followed_pulls.owner_of(tx, one) in taken and tasks.get(tx, one).status is TaskStatus.READY
        ]
    for task_id in taken:
        write_line(f"{task_id}: its pull request is followed again")
    return (*taken, *retried)


def _closed_among(context: CliContext, ids: tuple[str, ...]) -> tuple["Task", ...]:
    """Return those of the tasks whose pull request was closed and not merged."""
    from squire_pipelines.ledger import outcomes, tasks  # noqa: PLC0415 - only this command needs them

    with context.ledger.read() as tx:
        states = {task_id: outcomes.get(tx, task_id) for task_id in dict.fromkeys(ids)}
        closed = [
            task_id for task_id, outcome in states.items() if outcome and outcome.state == PullRequestState.CLOSED
        ]
        return tuple(task for task_id in closed if (task := tasks.get(tx, task_id)).status is TaskStatus.SUCCEEDED)


def _do_again(context: CliContext, task: "Task") -> None:
    """Make the task that does the same again, once."""
    from squire_pipelines.execution.repository_settings import settings_in  # noqa: PLC0415 - only this command needs it
    from squire_pipelines.execution.requests import repeat_task  # noqa: PLC0415 - likewise

    settings = settings_in(context.ledger, context.settings, task.repository)
    trace_id = new_trace_id()
    with bound_context(trace_id=trace_id), context.ledger.write() as tx:
        made = repeat_task(tx, settings, task.id, actor=actor(), trace_id=trace_id)
    write_line(f"{task.id}: done again as {made.id}" + ("" if made.is_new else ", which was asked for before"))
