"""`squire tasks watch`: the list of tasks as it changes, until none is under way, or named tasks until their end."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence

import click

from squire_pipelines.cli.context import CliContext, limit_option, seconds_option, with_home_to_read
from squire_pipelines.cli.failures import fail
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import UNENDED_TASK, repository_option
from squire_pipelines.cli.tasks import page_table
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import ExitCode
from squire_pipelines.ledger.task_query import FINAL_STATUSES, TaskQuery
from squire_pipelines.ledger.task_rows import TaskPage, TaskRow, read_rows
from squire_pipelines.terminal.output import write_line

_UNDER_WAY = ("ready", "running")
INTERVAL_S = 2.0
TIMEOUT_S = 86400.0


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


def pages_to_end(read: Callable[[], TaskPage], *, wait: Callable[[], None], rounds: int) -> Iterator[TaskPage]:
    """Yield the page of named tasks again and again until each has ended, at most `rounds` times."""
    for number in range(rounds):
        if number:
            wait()
        page = read()
        yield page
        if all(row.status in FINAL_STATUSES for row in page.rows):
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


@command(
    "watch",
    examples=(
        "squire tasks watch",
        "squire tasks watch --repository owner/name --interval 5",
        "squire tasks watch t0m1e2x3a4m5p6l && git pull",
    ),
)
@click.argument("task_ids", metavar="[ID]...", type=UNENDED_TASK, nargs=-1)
@repository_option
@seconds_option("--interval", INTERVAL_S, "Read the tasks this often.", least=0.2, most=3600)
@click.option("--once", is_flag=True, help="Show the table once and end.")
@seconds_option("--timeout", TIMEOUT_S, "End after this time in any case.", most=7 * 86400)
@limit_option(30, most=200)
@with_home_to_read
def watch(
    context: CliContext,
    task_ids: tuple[str, ...],
    *,
    repository: str | None,
    interval: float,
    timeout: float,
    limit: int,
    once: bool,
) -> None:
    """Follow the tasks until none is ready or running, or the named ones until each has ended.

    A terminal shows a table; a pipe or a file gets a line for each change. Proposed tasks wait for a person, so that
    the command does not wait for them unless they are named. Of named tasks the exit code is 0 when all have succeeded,
    and 1 when one has not, or not yet at the end of --timeout.
    """
    if task_ids:
        if repository is not None:
            raise click.UsageError("name tasks by their ids, or use --repository")
        watch_to_end(context, task_ids, interval=interval, timeout=timeout, once=once)
        return
    query = TaskQuery(repository=repository, limit=limit)
    rounds = 1 if once else max(1, round(timeout / interval))
    shown = pages(context.read_tasks, query, wait=lambda: time.sleep(interval), rounds=rounds)
    _summary(_show(context, shown, once=once))


def watch_to_end(
    context: CliContext,
    task_ids: Sequence[str],
    *,
    interval: float = INTERVAL_S,
    timeout: float = TIMEOUT_S,
    once: bool = False,
) -> None:
    """Follow these tasks until each has ended.

    Args:
        context: Of the command.
        task_ids: Which ones.
        interval: Seconds between two looks.
        timeout: Seconds after which it ends in any case.
        once: Whether it only looks.

    Raises:
        NotFoundError: There is no such task.
        SystemExit: One has not succeeded.
    """
    from squire_pipelines.ledger import tasks  # noqa: PLC0415 - SQLAlchemy, which the list does without

    ids = tuple(dict.fromkeys(task_ids))

    def read() -> TaskPage:
        with context.ledger.read() as tx:
            rows = read_rows(tx.query_runner(), ids, now=tx.now)
            if len(rows) < len(ids):
                for task_id in ids:
                    tasks.get(tx, task_id)
            page = TaskPage(rows, tx.now)
        return context.with_settings_waits(page)

    rounds = 1 if once else max(1, round(timeout / interval))
    last = _show(context, pages_to_end(read, wait=lambda: time.sleep(interval), rounds=rounds), once=once)
    _summary(last)
    unended = [row for row in last.rows if row.status not in FINAL_STATUSES]
    if unended and not once:
        fail(
            f"{', '.join(row.id for row in unended)} did not end within {timeout:g} s",
            f"`squire tasks show {unended[0].id}` says what it waits for",
        )
    if any(row.status != "succeeded" and not (once and row in unended) for row in last.rows):
        raise SystemExit(ExitCode.FAILED)


def _show(context: CliContext, shown: Iterator[TaskPage], *, once: bool) -> TaskPage:
    """Show the pages, each in place of the one before or by its changes, and return the last one."""
    if once:
        last = next(shown)
        context.console.print(page_table(context, last))
        return last
    return show_live(context, shown) if sys.stdout.isatty() else _line_by_line(shown)


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
