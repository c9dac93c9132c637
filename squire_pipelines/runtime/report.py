"""Renders the end of a cycle for people. Text from outside is shown as text, never as markup."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.runtime.cycle import CycleTask

_GOOD = {"merged", "succeeded", "completed", "open"}
_BAD = {"failed", "closed", "cancelled"}


def _word(value: object) -> Text:
    text = str(value) if value is not None else "-"
    style = "green" if text in _GOOD else "red" if text in _BAD else ""
    return Text(text, style=style)


def cycle_table(rows: Sequence[CycleTask]) -> Table:
    """Return a table of tasks: their ends, seconds from ready to the agent's start, pull requests and outcomes."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("repository", "task", "what", "cause"):
        table.add_column(name, overflow="fold")
    table.add_column("start", justify="right")
    table.add_column("pull request", overflow="fold")
    table.add_column("outcome")
    for row in rows:
        cause = row.cause or (f"waits: {row.waiting}" if row.waiting else row.status.value)
        table.add_row(
            Text(row.repository),
            Text(row.task_id),
            Text(row.title),
            _word(cause),
            Text(f"{row.start_s:.1f} s" if row.start_s is not None else "-"),
            Text(row.pr_url or "-"),
            _word(row.outcome),
        )
    return table


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
