"""`squire tasks`: the group and its list. The other commands of the group are modules of their own."""

import shlex
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, limit_option, pass_cli_context, table
from squire_pipelines.cli.lazy import Lazy, LazyGroup, command
from squire_pipelines.cli.parameters import MOMENT, TASK_ID, repository_option
from squire_pipelines.cli.task_rows import TaskPage
from squire_pipelines.ledger.task_query import KINDS, MAX_PAGE, PAGE, STATUSES, SortOrder, TaskQuery

_CLI = "squire_pipelines.cli"

tasks = LazyGroup(
    name="tasks",
    help="One piece of work each: proposed, ready, running, then succeeded, failed or cancelled.",
    lazy={
        "list": Lazy(f"{_CLI}.tasks:list_tasks", "List tasks, newest first."),
        "show": Lazy(f"{_CLI}.tasks_show:show", "Show a task with its attempts, history and outcome."),
        "new": Lazy(f"{_CLI}.tasks_new:new", "Ask for a piece of work in your own words."),
        "followup": Lazy(f"{_CLI}.tasks_followup:followup", "Ask for more work on a task's open pull request."),
        "approve": Lazy(f"{_CLI}.tasks_change:approve", "Let proposed tasks run."),
        "reject": Lazy(f"{_CLI}.tasks_change:reject", "Turn proposed tasks down."),
        "start": Lazy(f"{_CLI}.tasks_change:start", "Approve the given tasks, or all proposed ones."),
        "cancel": Lazy(f"{_CLI}.tasks_change:cancel", "Cancel tasks, also running ones."),
        "retry": Lazy(f"{_CLI}.tasks_change:retry", "Let failed or cancelled tasks run again."),
        "logs": Lazy(f"{_CLI}.tasks_logs:logs", "Show what a task's agent wrote."),
        "watch": Lazy(f"{_CLI}.tasks_watch:watch", "Follow the tasks until none is under way."),
        "clean": Lazy(f"{_CLI}.tasks_clean:clean_tasks", "Archive and delete tasks that ended long ago."),
        "import": Lazy(f"{_CLI}.tasks_import:import_tasks", "Take over tasks of the old product, or of an export."),
        "export": Lazy(f"{_CLI}.tasks_export:export", "Write tasks with all their facts as lines of JSON."),
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


def _time(name: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(name, type=MOMENT, metavar="TIME", help=text)


@command(
    "list",
    examples=(
        "squire tasks list",
        "squire tasks list --status failed --repository owner/name",
        "squire tasks list --text 'flaky test' --order changed",
        "squire tasks list --ended-since 7d --cause timeout --json --limit 200",
    ),
)
@click.option(
    "--status", "statuses", type=click.Choice(STATUSES), multiple=True, help="Only this state; may be repeated."
)
@repository_option
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only this kind; may be repeated.")
@click.option("--cause", "causes", multiple=True, help="Only this cause of the last ending; may be repeated.")
@click.option("--text", default="", metavar="WORDS", help="Only titles that have all of these words.")
@_time("--created-since", "Only tasks created then or later: a date, or 7d or 12h ago.")
@_time("--created-until", "Only tasks created before.")
@_time("--ended-since", "Only tasks that ended then or later.")
@_time("--ended-until", "Only tasks that ended before.")
@click.option(
    "--order",
    type=click.Choice([order.value for order in SortOrder]),
    default="newest",
    show_default=True,
    help="Sort.",
)
@click.option("--after", type=TASK_ID, metavar="PLACE", help="Go on after this task or place: the next page.")
@limit_option(PAGE, most=MAX_PAGE)
@json_option
@pass_cli_context
def list_tasks(context: CliContext, /, limit: int, order: str, *, as_json: bool, **wanted: Any) -> None:
    """List tasks, newest first unless another order is asked for.

    A ready task that does not run says what it waits for; an ended one says the cause. All filters have to hold.
    `--order priority` begins with what is most urgent and oldest, `--order changed` with what changed last.
    """
    query = TaskQuery(order=SortOrder(order), limit=limit, **wanted)
    page = context.read_tasks(query)
    if as_json:
        emit_json([asdict(row) for row in page.rows])
    elif not page.rows:
        click.echo("No tasks." if query.is_filtered else "No tasks yet: `squire run` looks for work.")
    else:
        context.console.print(table(COLUMNS, lines(page), keep=("title", "status")))
    if page.next_after:
        click.echo(f"more: squire tasks list {_again(wanted, order)}--after {page.next_after}", err=True)


def _again(wanted: dict[str, Any], order: str) -> str:
    """The options of this list, to be typed again for its next page."""
    words: list[str] = [] if order == "newest" else ["--order", order]
    for name, value in wanted.items():
        option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
        for one in value if isinstance(value, tuple) else (value,):
            if one and name != "after":
                words += [option, f"{one:%Y-%m-%dT%H:%M:%SZ}" if isinstance(one, datetime) else str(one)]
    return f"{shlex.join(words)} " if words else ""


_OPTIONS = {"statuses": "--status", "kinds": "--kind", "causes": "--cause"}
