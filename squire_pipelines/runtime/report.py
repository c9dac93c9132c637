"""Renders the end of a cycle for people. Text from outside is shown as text, never as markup."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.runtime.cycle import CycleTask
from squire_pipelines.terminal.cells import pull_link
from squire_pipelines.terminal.tables import table

_HEADINGS = ("repository", "task", "what", "cause", "start", "pull request", "outcome")


def cycle_table(rows: Sequence[CycleTask], room: int | None) -> RenderableType:
    """Return a table of tasks: their ends, seconds from ready to the agent's start, pull requests and outcomes.

    `room` is the terminal's width, None for a pipe.
    """
    cells = (
        (
            row.repository,
            row.task_id,
            row.title,
            row.cause or (f"waits: {row.waiting}" if row.waiting else row.status.value),
            f"{row.start_s:.1f} s" if row.start_s is not None else "",
            pull_link(row.pr_number, row.pr_url),
            row.outcome,
        )
        for row in rows
    )
    return table(_HEADINGS, cells, room=room, spare=("start", "outcome"))


def remarks(rows: Sequence[CycleTask]) -> list[Text]:
    """Return a line for each successful task that a person should look at."""
    lines = []
    for row in rows:
        if row.cause == "no_changes":
            lines.append(Text(f"{row.task_id}: the agent changed nothing, so there is no pull request of its own"))
        elif row.needs_approval and row.outcome == "open":
            lines.append(Text(f"{row.task_id}: #{row.pr_number} is a draft until a person has approved it", "yellow"))
    return lines


def failures(rows: Sequence[CycleTask]) -> list[Text]:
    """Return a line for each task that did not succeed, with its reason and the command that shows its log."""
    return [
        Text(f"{row.task_id} {row.status}: {row.message or row.cause} (squire tasks logs {row.task_id})", style="red")
        for row in rows
        if row.status in {TaskStatus.FAILED, TaskStatus.CANCELLED}
    ]
