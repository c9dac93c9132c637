"""`squire tasks logs`: the end of what an attempt's agent wrote, and what is added to it."""

import time

import click

from squire_pipelines.cli.context import CliContext, seconds_option, with_home_to_read
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import ATTEMPTED_TASK
from squire_pipelines.cli.text import size
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger import attempts as attempt_rows
from squire_pipelines.ledger import tasks as task_rows
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.log_reading.tail import MAX_TAIL_BYTES, follow, read_tail
from squire_pipelines.terminal.output import write_line

POLL_S = 0.5
MAX_LINES = 100_000
attempt_option = click.option(
    "--attempt", "number", type=click.IntRange(1), metavar="N", help="Show this attempt instead of the last one."
)


def choose_attempt(context: CliContext, task_id: str, number: int | None) -> Attempt:
    """Return the attempt with this number, or the last one. Raises NotFoundError."""
    with context.ledger.read() as tx:
        task = task_rows.get(tx, task_id)
        attempts = attempt_rows.of_task(tx, task_id)
    if not attempts:
        raise NotFoundError(
            f"task {task_id} has had no attempt yet; it is {task.status}",
            hint=f"`squire tasks show {task_id}` says what it waits for",
        )
    for attempt in reversed(attempts):
        if number in {None, attempt.number}:
            return attempt
    raise NotFoundError(f"task {task_id} has no attempt {number}", hint=f"its attempts are 1 to {attempts[-1].number}")


@command(
    "logs", examples=("squire tasks logs t0m1e2x3a4m5p6l -f", "squire tasks logs t0m1e2x3a4m5p6l --attempt 1 -n 50")
)
@click.argument("task_id", metavar="ID", type=ATTEMPTED_TASK)
@attempt_option
@click.option("-f", "--follow", "following", is_flag=True, help="Show lines as they are added, until the attempt ends.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(1, MAX_LINES),
    default=200,
    show_default=True,
    help="Show this many last lines.",
)
@seconds_option("--idle-timeout", 600, "Stop following when nothing was added for this time.", least=0, most=86400)
@with_home_to_read
def logs(
    context: CliContext, task_id: str, number: int | None, lines: int, idle_timeout: float, *, following: bool
) -> None:
    """Show what a task's agent wrote.

    Terminal control sequences are removed. The whole log is a file in the attempt's folder.
    """
    from squire_pipelines.file_store.attempt_copies import AttemptCopy  # noqa: PLC0415 - pydantic

    attempt = choose_attempt(context, task_id, number)
    log = AttemptCopy(context.settings, attempt.id).log()
    log.refresh()
    path = log.path
    is_running = attempt.status is not AttemptStatus.ENDED
    offset = 0
    try:
        tail = read_tail(path, lines=lines)
    except FileNotFoundError:
        if not (following and is_running):
            show = f"`squire tasks show {task_id}` has its cause"
            raise NotFoundError(
                f"attempt {attempt.number} of task {task_id} left no log at {path}",
                hint="it is still running: add -f to wait for the log" if is_running else show,
            ) from None
    else:
        if tail.cut:
            note(f"{path} has more lines before these (at most {size(MAX_TAIL_BYTES)} are read here)")
        for line in tail.lines:
            write_line(line)
        offset = tail.end

    def ended() -> bool:
        with context.ledger.read() as tx:
            is_over = attempt_rows.get(tx, attempt.id).status is AttemptStatus.ENDED
        log.refresh(at_once=is_over)  # a copy of a log on another machine
        return is_over

    # Without -f this is one round, for a last line that has no end.
    added = follow(
        path,
        offset=offset,
        ended=ended if following else lambda: True,
        wait=lambda: time.sleep(POLL_S),
        idle_rounds=max(1, round(idle_timeout / POLL_S)),
    )
    for line in added:
        write_line(line)
    if following and not ended():
        note(f"nothing was added for {idle_timeout:g} s, but the attempt has not ended; run the command again to go on")
