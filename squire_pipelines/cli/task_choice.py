"""Asks which of the proposed tasks are meant, where none is named."""

from collections.abc import Sequence

import click

from squire_pipelines.cli.context import CliContext, Columns
from squire_pipelines.cli.failures import fail
from squire_pipelines.cli.person import answer_to
from squire_pipelines.cli.text import age
from squire_pipelines.ledger.task_query import TaskQuery
from squire_pipelines.terminal.output import write_line

MAX_SHOWN = 50
MAX_ASKS = 5
_WHAT_FOLLOWS = {
    "approve": "Approved tasks start as soon as there is a slot.",
    "reject": "Rejected tasks end as cancelled.",
}


def choose_proposed(context: CliContext, action: str) -> tuple[str, ...]:
    """Return the ids of the proposed tasks that the person chooses; none where nothing waits, or nothing is chosen.

    Args:
        context: Of the command.
        action: `approve` or `reject`.

    Raises:
        UsageError: Nobody answers.
        Abort: No answer could be taken.
    """
    page = context.read_tasks(TaskQuery(statuses=("proposed",), limit=MAX_SHOWN))
    if not page.rows:
        write_line("No task waits for approval.")
        return ()
    ids = [row.id for row in page.rows]
    columns: Columns = {
        "": lambda row: ids.index(row.id) + 1,
        "id": "id",
        "repository": "repository",
        "title": "title",
        "priority": "priority",
        "age": lambda row: age(row.created_at, page.now),
    }
    context.write_rows(page.rows, columns, keep=("title",), spare=("age", "priority"))
    if page.next_after:
        write_line(f"These are the newest {len(ids)}; `squire tasks list --status proposed` has all.")
    write_line(_WHAT_FOLLOWS[action])
    for _ in range(MAX_ASKS):
        answer = answer_to(f"{action} which (numbers or ids, all, or Enter for none)", default="")
        if answer is None:
            raise click.UsageError("name tasks by their ids, or use --all, with filters if you like")
        try:
            return _named_in(answer, ids)
        except ValueError as error:
            fail(str(error))
    raise click.Abort


def _named_in(answer: str, ids: Sequence[str]) -> tuple[str, ...]:
    """Return the ids that an answer names. Raises ValueError with what is wrong, as a sentence."""
    words = answer.replace(",", " ").split()
    if [word.lower() for word in words] == ["all"]:
        return tuple(ids)
    by_name = {str(number): task_id for number, task_id in enumerate(ids, 1)} | {task_id: task_id for task_id in ids}
    if unknown := [word for word in words if word not in by_name]:
        raise ValueError(f"{unknown[0][:40]!r} is none of these: answer with numbers up to {len(ids)}, ids, or all")
    return tuple(dict.fromkeys(by_name[word] for word in words))
