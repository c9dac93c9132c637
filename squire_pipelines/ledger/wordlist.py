"""The rows of `task_words`, by which a list finds tasks by the words of their titles.

Written in the transaction that inserts, renames or deletes the tasks. How a title is cut into words is `words`'.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, delete, insert, select

from squire_pipelines.ledger.columns import clean_text
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import task_words, tasks
from squire_pipelines.ledger.words import words_of

_AT_ONCE = 500


def word_rows(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of one task: of its `id`, `title`, `priority`, `created_at`, `repository` and `kind`."""
    columns = {name: task[name] for name in ("priority", "created_at", "repository", "kind")}
    title = clean_text(task["title"])  # as the task's own row has it
    return [{"word": word, "task_id": task["id"], **columns} for word in words_of(title)]


def remember(tx: Transaction, rows: Iterable[Mapping[str, Any]]) -> None:
    """Make these new tasks be found by their titles' words."""
    found = [row for task in rows for row in word_rows(task)]
    if found:
        tx.execute(insert(task_words), found)


def forget(tx: Transaction, ids: Iterable[str]) -> None:
    """Remove the words of these tasks, whose own rows are still there and as they were."""
    wanted = list(ids)
    columns = [tasks.c[name] for name in ("id", "title", "priority", "created_at", "repository", "kind")]
    for start in range(0, len(wanted), _AT_ONCE):
        rows = tx.execute(select(*columns).where(tasks.c.id.in_(wanted[start : start + _AT_ONCE]))).all()
        marks = [
            {f"its_{key.name}": row[key.name] for key in task_words.primary_key}
            for task in rows
            for row in word_rows(task._asdict())
        ]
        if marks:
            tx.execute(_DELETE, marks)


# One row at a time, along the key: of many keys in one list SQLite would read the whole table.
_DELETE = delete(task_words).where(*(key == bindparam(f"its_{key.name}") for key in task_words.primary_key))
