"""`squire tasks approve|reject|start|cancel|retry`: a person's changes, of few tasks or of all that a filter finds.

All tasks of one command are changed in one transaction; one that cannot be changed does not keep the others.
"""

import getpass
import sys
from collections.abc import Callable
from typing import Any

import click

from squire_pipelines.cli.context import CliContext, pass_cli_context
from squire_pipelines.cli.failures import fail
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import MOMENT, TASK_ID, repository_option
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import ExitCode, RefusedError
from squire_pipelines.ledger import bulk
from squire_pipelines.ledger.task_query import KINDS, STATUSES, TaskQuery

_SHOWN = 50
"""Tasks that are named one by one; of more, their number is told."""


def actor() -> str:
    """Who does it, for the history."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = "unknown"
    return f"cli:{name}"[:60]


def _which(function: Callable[..., None]) -> Callable[..., None]:
    """The tasks: by their ids, or all that a filter finds."""
    for each in reversed(
        (
            click.argument("task_ids", metavar="[ID]...", type=TASK_ID, nargs=-1),
            click.option("--all", "every", is_flag=True, help="All that can be changed so and match the filters."),
            click.option(
                "--status", "statuses", type=click.Choice(STATUSES), multiple=True, help="With --all: of this."
            ),
            repository_option,
            click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="With --all: of this kind."),
            click.option("--cause", "causes", multiple=True, help="With --all: that ended last for this cause."),
            click.option("--text", default="", metavar="WORDS", help="With --all: with these words in the title."),
            click.option("--created-until", type=MOMENT, metavar="TIME", help="With --all: created before."),
            click.option("--yes", is_flag=True, help="Do not ask before all that match are changed."),
        )
    ):
        function = each(function)
    return function


def _change(
    context: CliContext, change: bulk.Change, task_ids: tuple[str, ...], *, every: bool, yes: bool, **filters: Any
) -> None:
    """Make a change to the tasks that were named, or to all that a filter finds."""
    if every == bool(task_ids) or (any(filters.values()) and not every):
        raise click.UsageError("name tasks by their ids, or use --all, with filters if you like")
    which: TaskQuery | tuple[str, ...] = task_ids
    if every:
        filters["statuses"] = filters.get("statuses") or tuple(sorted(change.expected))
        which = TaskQuery(**filters)
        if not yes:
            _confirm(context, change, which)
    with context.ledger.write() as tx:
        report = bulk.bulk_update(tx, which, change, actor=actor())
    _tell(report, change, every=every)


def _confirm(context: CliContext, change: bulk.Change, query: TaskQuery) -> None:
    with context.ledger.read() as tx:
        count = len(bulk.ids_of(tx, query))
    question = f"{change.name} {count} task{'' if count == 1 else 's'}"
    if count == 0:
        return
    if not sys.stdin.isatty():
        raise RefusedError(f"nobody is there to ask whether to {question}", hint="name the tasks, or add --yes")
    click.confirm(question.capitalize() + "?", abort=True)


def _tell(report: bulk.BulkReport, change: bulk.Change, *, every: bool) -> None:
    named = report.count <= _SHOWN
    for status, ids in report.changed.items():
        said = _said(status, change)
        if named:
            for task_id in ids:
                click.echo(f"{task_id}: {said}")
        else:
            click.echo(f"{len(ids)} tasks: {said}")
    if every and not report.count:
        click.echo("No task matches.")
    for each in report.unmatched[:_SHOWN]:
        fail(each.reason, each.hint)
    if len(report.unmatched) > _SHOWN:
        fail(f"{len(report.unmatched) - _SHOWN} more tasks stay as they are")
    if report.unmatched:
        click.get_current_context().exit(int(ExitCode.FAILED))


def _said(status: TaskStatus, change: bulk.Change) -> str:
    if status is TaskStatus.RUNNING:
        return "asked to stop"
    if change.more_attempts:
        return f"ready, up to {change.more_attempts} more attempt{'s' if change.more_attempts > 1 else ''}"
    return str(status)


@command("approve", examples=("squire tasks approve t0m1e2x3a4m5p6l", "squire tasks approve --all --kind fix_ci"))
@_which
@pass_cli_context
def approve(context: CliContext, /, **which: Any) -> None:
    """Let proposed tasks run: they become ready and are dispatched as soon as there is a slot."""
    _change(context, bulk.approve(), **which)


@command("reject", examples=('squire tasks reject t0m1e2x3a4m5p6l --reason "not worth it"',))
@_which
@click.option("--reason", default="rejected", show_default=True, help="Kept in the task's history.")
@pass_cli_context
def reject(context: CliContext, /, reason: str, **which: Any) -> None:
    """Turn proposed tasks down: they end as cancelled."""
    _change(context, bulk.reject(reason), **which)


@command("start", examples=("squire tasks start t0m1e2x3a4m5p6l", "squire tasks start --yes"))
@click.argument("task_ids", metavar="[ID]...", type=TASK_ID, nargs=-1)
@click.option("--yes", is_flag=True, help="Do not ask before all proposed tasks are approved.")
@pass_cli_context
def start(context: CliContext, task_ids: tuple[str, ...], *, yes: bool) -> None:
    """Approve the given tasks, or all proposed ones when none is named."""
    if not task_ids and not context.read_tasks(TaskQuery(statuses=("proposed",), limit=1)).rows:
        click.echo("No task waits for approval.")
        return
    _change(context, bulk.approve(), task_ids, every=not task_ids, yes=yes)


@command(
    "cancel",
    examples=(
        "squire tasks cancel t0m1e2x3a4m5p6l",
        "squire tasks cancel --all --status ready --repository owner/name",
    ),
)
@_which
@click.option("--reason", default="cancelled", show_default=True, help="Kept in the task's history.")
@pass_cli_context
def cancel(context: CliContext, /, reason: str, **which: Any) -> None:
    """Cancel tasks. One that runs is asked to stop; its container is removed by the run that supervises it."""
    _change(context, bulk.cancel(reason), **which)


@command("retry", examples=("squire tasks retry t0m1e2x3a4m5p6l", "squire tasks retry --all --cause provider_error"))
@_which
@pass_cli_context
def retry(context: CliContext, /, **which: Any) -> None:
    """Let failed or cancelled tasks run again. Attempt numbers go on; the tries are those of the settings."""
    _change(context, bulk.retry(context.settings.dispatch.max_attempts), **which)
