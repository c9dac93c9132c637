"""`squire tasks approve|reject|start|cancel|retry`: a person's changes, each task in a transaction of its own."""

import getpass
import sys
from collections.abc import Callable, Sequence

import click

from squire_pipelines.cli.context import App, pass_app
from squire_pipelines.cli.failures import fail
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import TASK_ID
from squire_pipelines.cli.task_rows import TaskQuery
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import RefusedError, SquireError, StateConflictError
from squire_pipelines.ledger import tasks as task_rows
from squire_pipelines.ledger.store import Transaction

_MAX_STARTED = 1000
_ids = click.argument("task_ids", metavar="ID...", type=TASK_ID, nargs=-1, required=True)


def actor() -> str:
    """Who does it, for the history."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = "unknown"
    return f"cli:{name}"[:60]


def _each(app: App, ids: Sequence[str], change: Callable[[Transaction, str], str]) -> None:
    code = 0
    ledger = app.ledger
    for task_id in dict.fromkeys(ids):
        try:
            with ledger.write() as tx:
                said = change(tx, task_id)
        except SquireError as error:
            fail(error.message, error.hint)
            code = code or int(error.exit_code)
        else:
            click.echo(f"{task_id}: {said}")
    if code:
        click.get_current_context().exit(code)


def _approve(tx: Transaction, task_id: str) -> str:
    task_rows.approve(tx, task_id, actor=actor())
    return "ready"


@command("approve", examples=("squire tasks approve t0m1e2x3a4m5p6l",))
@_ids
@pass_app
def approve(app: App, task_ids: tuple[str, ...]) -> None:
    """Let proposed tasks run: they become ready and are dispatched as soon as there is a slot."""
    _each(app, task_ids, _approve)


@command("reject", examples=('squire tasks reject t0m1e2x3a4m5p6l --reason "not worth it"',))
@_ids
@click.option("--reason", default="rejected", show_default=True, help="Kept in the task's history.")
@pass_app
def reject(app: App, task_ids: tuple[str, ...], reason: str) -> None:
    """Turn proposed tasks down: they end as cancelled."""

    def change(tx: Transaction, task_id: str) -> str:
        task = task_rows.get(tx, task_id)
        if task.status is not TaskStatus.PROPOSED:
            message = f"task {task_id} is {task.status}, not proposed"
            raise StateConflictError(message, hint=f"`squire tasks cancel {task_id}` stops one that was approved")
        task_rows.cancel(tx, task_id, actor=actor(), reason=reason)
        return "cancelled"

    _each(app, task_ids, change)


@command("start", examples=("squire tasks start t0m1e2x3a4m5p6l", "squire tasks start --yes"))
@click.argument("task_ids", metavar="[ID]...", type=TASK_ID, nargs=-1)
@click.option("--yes", is_flag=True, help="Do not ask before all proposed tasks are approved.")
@pass_app
def start(app: App, task_ids: tuple[str, ...], *, yes: bool) -> None:
    """Approve the given tasks, or all proposed ones when none is named."""
    if not task_ids:
        task_ids = _all_proposed(app, yes=yes)
    _each(app, task_ids, _approve)


def _all_proposed(app: App, *, yes: bool) -> tuple[str, ...]:
    page = app.read_tasks(TaskQuery(statuses=("proposed",), limit=_MAX_STARTED))
    if not page.rows:
        click.echo("No task waits for approval.")
    elif not yes:
        question = f"approve {len(page.rows)} proposed task{'s' if len(page.rows) > 1 else ''}"
        if not sys.stdin.isatty():
            message = f"nobody is there to ask whether to {question}"
            raise RefusedError(message, hint="name the tasks, or add --yes")
        click.confirm(question.capitalize() + "?", abort=True)
    return tuple(row.id for row in page.rows)


@command("cancel", examples=("squire tasks cancel t0m1e2x3a4m5p6l",))
@_ids
@click.option("--reason", default="cancelled", show_default=True, help="Kept in the task's history.")
@pass_app
def cancel(app: App, task_ids: tuple[str, ...], reason: str) -> None:
    """Cancel tasks. One that runs is asked to stop; its container is removed by the run that supervises it."""

    def change(tx: Transaction, task_id: str) -> str:
        status = task_rows.cancel(tx, task_id, actor=actor(), reason=reason)
        return "asked to stop" if status is TaskStatus.RUNNING else str(status)

    _each(app, task_ids, change)


@command("retry", examples=("squire tasks retry t0m1e2x3a4m5p6l",))
@_ids
@pass_app
def retry(app: App, task_ids: tuple[str, ...]) -> None:
    """Let failed or cancelled tasks run again. Attempt numbers go on; the tries are those of the settings."""
    more = app.settings.dispatch.max_attempts

    def change(tx: Transaction, task_id: str) -> str:
        task_rows.retry(tx, task_id, actor=actor(), more_attempts=more)
        return f"ready, up to {more} more attempt{'s' if more > 1 else ''}"

    _each(app, task_ids, change)
