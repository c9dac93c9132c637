"""`squire tasks watch`: the list of tasks as it changes, until none is under way."""

import sys
import time
from collections.abc import Callable, Iterator

import click

from squire_pipelines.cli.context import CliContext, limit_option, seconds_option, with_home_to_read
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import repository_option
from squire_pipelines.cli.tasks import page_table
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.ledger.task_query import TaskQuery
from squire_pipelines.ledger.task_rows import TaskPage, TaskRow
from squire_pipelines.terminal.output import write_line

_UNDER_WAY = ("ready", "running")


def pages(
    read: Callable[[TaskQuery], TaskPage], query: TaskQuery, *, wait: Callable[[], None], rounds: int
) -> Iterator[TaskPage]:
    """Yield the page again and again until no task is ready or running, at most `rounds` times.

    A separate query looks for these tasks, since they may be older than the page's rows.
    """
    busy = TaskQuery(statuses=_UNDER_WAY, repository=query.repository, limit=1)
    for number in range(rounds):
        if number:
            wait()
        # Asked before the page is read: the last page then shows how everything ended.
        under_way = bool(read(busy).rows)
        yield read(query)
        if not under_way:
            return


def changes(before: dict[str, TaskRow], page: TaskPage) -> Iterator[str]:
    """Yield a line for each task that is new or whose state has changed since `before`, and update `before`."""
    for row in reversed(page.rows):
        known = before.get(row.id)
        state = (row.status, row.attempts, row.pr_url, row.outcome)
        if known is None or state != (known.status, known.attempts, known.pr_url, known.outcome):
            parts = (row.status, row.waiting and f"waits for {row.waiting}", row.cause, row.pr_url, row.outcome)
            yield one_line(f"{row.id} {row.repository} {row.title}: {', '.join(part for part in parts if part)}")
        before[row.id] = row


@command("watch", examples=("squire tasks watch", "squire tasks watch --repository owner/name --interval 5"))
@repository_option
@seconds_option("--interval", 2, "Read the tasks this often.", least=0.2, most=3600)
@click.option("--once", is_flag=True, help="Show the table once and end.")
@seconds_option("--timeout", 86400, "End after this time in any case.", most=7 * 86400)
@limit_option(30, most=200)
@with_home_to_read
def watch(
    context: CliContext, repository: str | None, interval: float, timeout: float, limit: int, *, once: bool
) -> None:
    """Follow the tasks until none is ready or running.

    A terminal shows a table; a pipe or a file gets a line for each change. Proposed tasks wait for a person, so that
    the command does not wait for them.
    """
    query = TaskQuery(repository=repository, limit=limit)
    rounds = 1 if once else max(1, round(timeout / interval))
    shown = pages(context.read_tasks, query, wait=lambda: time.sleep(interval), rounds=rounds)
    if once:
        last = next(shown)
        context.console.print(page_table(context, last))
    elif sys.stdout.isatty():
        last = show_live(context, shown)
    else:
        last = _line_by_line(shown)
    _summary(last)


def show_live(context: CliContext, shown: Iterator[TaskPage]) -> TaskPage:
    """Show one page after the other in the same place of a terminal; return the last one."""
    from rich.live import Live  # noqa: PLC0415 - only on a terminal

    last = next(shown)
    with Live(page_table(context, last), console=context.console, auto_refresh=False) as live:
        for last in shown:
            live.update(page_table(context, last), refresh=True)
    return last


def _line_by_line(shown: Iterator[TaskPage]) -> TaskPage:
    known: dict[str, TaskRow] = {}
    last = None
    for last in shown:
        for line in changes(known, last):
            write_line(line)
    if last is None:
        raise ValueError("a watch needs at least one round")
    return last


def _summary(page: TaskPage) -> None:
    counts: dict[str, int] = {}
    for row in page.rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    text = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no tasks"
    write_line(text + (" (of the newest tasks)" if page.next_after else ""), err=True)
    if counts.get("proposed"):
        write_line("Proposed tasks wait for `squire tasks approve`.", err=True)
