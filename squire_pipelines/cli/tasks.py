"""`squire tasks`: the group and its list. The other commands of the group are modules of their own."""

from dataclasses import asdict

import click

from squire_pipelines.cli.context import App, emit_json, json_option, limit_option, pass_app, table
from squire_pipelines.cli.lazy import Lazy, LazyGroup, command
from squire_pipelines.cli.parameters import TASK_ID, repository_option
from squire_pipelines.cli.task_rows import STATUSES, TaskPage, TaskQuery

_CLI = "squire_pipelines.cli"

tasks = LazyGroup(
    name="tasks",
    help="One piece of work each: proposed, ready, running, then succeeded, failed or cancelled.",
    lazy={
        "list": Lazy(f"{_CLI}.tasks:list_tasks", "List tasks, newest first."),
        "show": Lazy(f"{_CLI}.tasks_show:show", "Show a task with its attempts, history and outcome."),
        "new": Lazy(f"{_CLI}.tasks_new:new", "Ask for a piece of work in your own words."),
        "approve": Lazy(f"{_CLI}.tasks_change:approve", "Let proposed tasks run."),
        "reject": Lazy(f"{_CLI}.tasks_change:reject", "Turn proposed tasks down."),
        "start": Lazy(f"{_CLI}.tasks_change:start", "Approve the given tasks, or all proposed ones."),
        "cancel": Lazy(f"{_CLI}.tasks_change:cancel", "Cancel tasks, also running ones."),
        "retry": Lazy(f"{_CLI}.tasks_change:retry", "Let failed or cancelled tasks run again."),
        "logs": Lazy(f"{_CLI}.tasks_logs:logs", "Show what a task's agent wrote."),
        "watch": Lazy(f"{_CLI}.tasks_watch:watch", "Follow the tasks until none is under way."),
    },
)

COLUMNS = (
    "id",
    "repository",
    "title",
    "status",
    "waits for",
    "cause",
    "attempts",
    "pull request",
    "outcome",
    "age",
)


def lines(page: TaskPage) -> list[tuple[object, ...]]:
    """The cells of the list's table."""
    from squire_pipelines.cli.text import age  # noqa: PLC0415 - JSON output needs no text

    return [
        (
            row.id,
            row.repository,
            row.title,
            f"{row.status} (cancelling)" if row.cancel_requested and row.status == "running" else row.status,
            row.waiting,
            row.cause,
            f"{row.attempts}/{row.max_attempts}",
            row.pr_url,
            row.outcome,
            age(row.created_at, page.now),
        )
        for row in page.rows
    ]


@command(
    "list",
    examples=(
        "squire tasks list",
        "squire tasks list --status failed --repository owner/name",
        "squire tasks list --json --limit 200",
    ),
)
@click.option(
    "--status", "statuses", type=click.Choice(STATUSES), multiple=True, help="Only this state; may be repeated."
)
@repository_option
@click.option("--after", type=TASK_ID, metavar="ID", help="Go on after this task: the next page.")
@limit_option()
@json_option
@pass_app
def list_tasks(
    app: App, statuses: tuple[str, ...], repository: str | None, after: str | None, limit: int, *, as_json: bool
) -> None:
    """List tasks, newest first.

    A ready task that does not run says what it waits for; an ended one says the cause.
    """
    page = app.read_tasks(TaskQuery(statuses=statuses, repository=repository, after=after, limit=limit))
    if as_json:
        emit_json([asdict(row) for row in page.rows])
        return
    if not page.rows:
        click.echo("No tasks." if statuses or repository or after else "No tasks yet: `squire run` looks for work.")
        return
    app.console.print(table(COLUMNS, lines(page), keep=("title", "status")))
    if page.next_after:
        click.echo(f"more: squire tasks list --after {page.next_after}", err=True)
