"""`squire tasks approve|reject|start|cancel|retry`: a person's changes of named tasks or of all that filters select.

All tasks of one command are changed in one transaction; one that cannot be changed does not keep the others.
"""

from collections.abc import Callable
from typing import Any

import click

from squire_pipelines.cli.context import CliContext, Decorator, with_context, with_home
from squire_pipelines.cli.failures import fail
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import (
    ENDED_TASK,
    PROPOSED_TASK,
    UNENDED_TASK,
    WAITING_TASK,
    CompletedText,
)
from squire_pipelines.cli.person import actor, confirm
from squire_pipelines.cli.task_choice import choose_proposed
from squire_pipelines.cli.task_filters import filter_options
from squire_pipelines.cli.text import counted
from squire_pipelines.domain.tasks import Priority
from squire_pipelines.errors import ExitCode
from squire_pipelines.ledger import bulk
from squire_pipelines.ledger.task_query import TaskQuery
from squire_pipelines.terminal.output import write_labelled, write_line

_SHOWN = 50
"""So many tasks that were not changed are named one by one; of more, their number is shown."""

_LEVELS = tuple(member.name.lower() for member in Priority)


def _ids_argument(kind: CompletedText) -> Decorator:
    """Add the ids of tasks; those in a state that the command takes are completed."""
    return click.argument("task_ids", metavar="[ID]...", type=kind, nargs=-1)


def _selection_options(kind: CompletedText) -> Decorator:
    """Add the options that select the tasks: by their ids, or all that a filter selects."""
    options: tuple[Decorator, ...] = (
        _ids_argument(kind),
        click.option("--all", "select_all", is_flag=True, help="Change all tasks that the filters select."),
        filter_options("status", "repository", "kind", "cause", "text", "created-until"),
        click.option("--yes", is_flag=True, help="Do not ask before all that match are changed."),
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


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
    from squire_pipelines.execution.task_changes import change_tasks  # noqa: PLC0415 - the help starts sooner

    made = change_tasks(context.ledger, selection, change, actor=actor())
    if select_all and not made.report.count:
        write_line("No task matches.")
    for line in made.lines():
        write_line(line)
    unmatched = made.report.unmatched
    for one in unmatched[:_SHOWN]:
        fail(one.reason, one.hint)
    if len(unmatched) > _SHOWN:
        fail(f"{len(unmatched) - _SHOWN} more tasks were not changed")
    if unmatched:
        raise SystemExit(ExitCode.FAILED)


def _change_proposed(context: CliContext, change: bulk.Change, selection: dict[str, Any]) -> None:
    """Make a change to proposed tasks; where nothing selects any, the person is asked which."""
    if not any(selection.values()):
        selection["task_ids"] = choose_proposed(context, change.name)
        if not selection["task_ids"]:
            return
    _change(context, change, **selection)


@command("approve", examples=("squire tasks approve t0m1e2x3a4m5p6l", "squire tasks approve --all --kind fix_ci"))
@_selection_options(PROPOSED_TASK)
@with_home
def approve(context: CliContext, /, **selection: Any) -> None:
    """Approve proposed tasks: they become ready and are dispatched as soon as there is a slot.

    Without ids, the proposed tasks are shown and you are asked which; a pipe may answer, too.
    """
    _change_proposed(context, bulk.approve(), selection)


@command("reject", examples=('squire tasks reject t0m1e2x3a4m5p6l --reason "not worth it"',))
@_selection_options(PROPOSED_TASK)
@click.option("--reason", default="rejected", show_default=True, help="Keep this reason in the task's history.")
@with_home
def reject(context: CliContext, /, reason: str, **selection: Any) -> None:
    """Reject proposed tasks: they end as cancelled. Without ids, you are asked which."""
    _change_proposed(context, bulk.reject(reason), selection)


@command("start", examples=("squire tasks start t0m1e2x3a4m5p6l", "squire tasks start --yes"))
@_ids_argument(WAITING_TASK)
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
@_selection_options(UNENDED_TASK)
@click.option("--reason", default="cancelled", show_default=True, help="Keep this reason in the task's history.")
@with_home
def cancel(context: CliContext, /, reason: str, **selection: Any) -> None:
    """Cancel tasks. A running task is asked to stop, and the run that supervises its container removes it."""
    _change(context, bulk.cancel(reason), **selection)


@command(
    "priority",
    examples=("squire tasks priority t0m1e2x3a4m5p6l high", "squire tasks priority --all --kind fix_ci critical"),
)
@_selection_options(UNENDED_TASK)
@click.argument("level", metavar="|".join(_LEVELS), type=click.Choice(_LEVELS))
@with_home
def priority(context: CliContext, /, level: str, **selection: Any) -> None:
    """Give tasks another priority than the one they were planned with.

    Tasks are started by priority and then by how long they wait. A waiting task counts one priority higher after each
    `dispatch.priority_step_s` (6 hours), so that none waits for ever.
    """
    _change(context, bulk.prioritise(Priority[level.upper()]), **selection)


@command("retry", examples=("squire tasks retry t0m1e2x3a4m5p6l", "squire tasks retry --all --cause provider_error"))
@_selection_options(ENDED_TASK)
@with_home
def retry(context: CliContext, /, **selection: Any) -> None:
    """Let failed or cancelled tasks run again, with as many new attempts as the settings allow.

    A named task whose pull request was closed is done again by a new task, with a pull request of its own. One whose
    pull request was left to people is followed again, from the head that it has now.
    """
    from squire_pipelines.execution.task_changes import retry_pull_requests  # noqa: PLC0415 - the help starts sooner

    ids: tuple[str, ...] = selection.pop("task_ids")
    has_named = bool(ids) and not selection["select_all"]
    if has_named:
        reason = "asked for at a terminal"
        retried = retry_pull_requests(context.ledger, context.settings, ids, actor=actor(), reason=reason)
        if retried.not_asked:
            write_labelled("not asked", retried.not_asked, color="yellow")
        for line in retried.lines:
            write_line(line)
        if not retried.rest:
            return
        ids = retried.rest
    _change(context, bulk.retry(context.settings.dispatch.max_attempts), ids, **selection)
