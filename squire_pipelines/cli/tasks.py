"""`squire tasks`: the group and its list. The other commands of the group are modules of their own."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from squire_pipelines.cli.context import (
    CliContext,
    Columns,
    choice_option,
    json_option,
    limit_option,
    show_next_page,
    with_home_to_read,
)
from squire_pipelines.cli.lazy import Lazy, LazyGroup, command
from squire_pipelines.cli.parameters import TASK_ID
from squire_pipelines.cli.task_filters import filter_options
from squire_pipelines.ledger.task_query import MAX_PAGE, PAGE, SortOrder, TaskQuery
from squire_pipelines.ledger.task_rows import TaskPage, TaskRow
from squire_pipelines.terminal.cells import pull_link

if TYPE_CHECKING:
    from rich.console import RenderableType

_CLI = "squire_pipelines.cli"

tasks = LazyGroup(
    name="tasks",
    help="Show and change tasks: pieces of work that are proposed, ready, running, succeeded, failed or cancelled.",
    lazy={
        "list": Lazy(f"{_CLI}.tasks:list_tasks", "List tasks, newest first."),
        "show": Lazy(f"{_CLI}.tasks_show:show", "Show a task with its attempts, history and outcome."),
        "new": Lazy(f"{_CLI}.tasks_new:new", "Ask for a piece of work in your own words."),
        "templates": Lazy(f"{_CLI}.tasks_templates:templates", "List, show and check templates of requests."),
        "followup": Lazy(f"{_CLI}.tasks_followup:followup", "Ask for more work on a task's open pull request."),
        "approve": Lazy(f"{_CLI}.tasks_change:approve", "Let proposed tasks run."),
        "reject": Lazy(f"{_CLI}.tasks_change:reject", "Reject proposed tasks."),
        "start": Lazy(f"{_CLI}.tasks_change:start", "Start the given tasks before others, or approve all."),
        "cancel": Lazy(f"{_CLI}.tasks_change:cancel", "Cancel tasks, running ones too."),
        "priority": Lazy(f"{_CLI}.tasks_change:priority", "Give tasks another priority."),
        "retry": Lazy(f"{_CLI}.tasks_change:retry", "Let failed or cancelled tasks run again."),
        "logs": Lazy(f"{_CLI}.tasks_logs:logs", "Show what a task's agent wrote."),
        "watch": Lazy(f"{_CLI}.tasks_watch:watch", "Follow the tasks until none is ready or running."),
        "clean": Lazy(f"{_CLI}.tasks_transfer:clean_tasks", "Archive and delete tasks that ended long ago."),
        "import": Lazy(f"{_CLI}.tasks_transfer:import_tasks", "Import tasks of the old product, or of an export."),
        "export": Lazy(f"{_CLI}.tasks_transfer:export", "Write tasks with all their facts as lines of JSON."),
    },
)

KEPT_COLUMNS = ("title", "status")
SPARE_COLUMNS = ("attempts", "age", "cause", "outcome", "waits for", "pull request")


def columns_at(now: datetime) -> Columns:
    """Return the columns of the list, with ages as of `now`."""
    from squire_pipelines.cli.text import age  # noqa: PLC0415 - JSON output needs no text

    return {
        "id": "id",
        "repository": "repository",
        "title": "title",
        "status": _status,
        "waits for": "waiting",
        "cause": "cause",
        "attempts": lambda row: f"{row.attempts}/{row.max_attempts}",
        "pull request": lambda row: pull_link(row.pr_number, row.pr_url),
        "outcome": "outcome",
        "age": lambda row: age(row.created_at, now),
    }


def _status(row: TaskRow) -> str:
    return "running (cancelling)" if row.cancel_requested and row.status == "running" else row.status


def page_table(context: CliContext, page: TaskPage) -> "RenderableType":
    """Return the table of a page, which fits the terminal."""
    return context.table_of(page.rows, columns_at(page.now), keep=KEPT_COLUMNS, spare=SPARE_COLUMNS)


@command(
    "list",
    examples=(
        "squire tasks list",
        "squire tasks list --status failed --repository owner/name",
        "squire tasks list --text 'flaky test' --order changed",
        "squire tasks list --ended-since 7d --cause timeout --json --limit 200",
    ),
)
@filter_options()
@choice_option("--order", [order.value for order in SortOrder], "Sort the list.")
@click.option("--after", type=TASK_ID, metavar="PLACE", help="Go on after this task or place: the next page.")
@limit_option(PAGE, most=MAX_PAGE)
@json_option
@with_home_to_read
def list_tasks(context: CliContext, /, limit: int, order: str, *, as_json: bool, **filters: Any) -> None:
    """List tasks, newest first unless another order is asked for.

    A ready task that does not run says what it waits for ("its start": `squire tasks show` asks the engine); a task
    that ended says the cause. A task is listed when all filters select it. `--order priority` begins with the most
    urgent and oldest tasks, `--order changed` with those that changed last.
    """
    query = TaskQuery(order=SortOrder(order), limit=limit, **filters)
    page = context.read_tasks(query)
    empty = "No task matches." if query.is_filtered else "There are no tasks yet: `squire run` looks for work."
    columns = columns_at(page.now)
    context.write_list(page.rows, columns, as_json=as_json, empty=empty, keep=KEPT_COLUMNS, spare=SPARE_COLUMNS)
    if page.next_after:
        show_next_page("--after", page.next_after)
