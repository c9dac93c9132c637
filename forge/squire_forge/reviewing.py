"""A reviewer of a hosted repository: remarks once on each green pull request that is to be merged, and is answered.

Until then the forge merges none. The reviewer resolves the thread when it has an answer, whatever that says.
"""

import json
import sqlite3

from pydantic import BaseModel, ConfigDict, Field

from squire_forge import events, operations, store, store_labels
from squire_forge.records import Pull
from squire_forge.world import VIEWER_LOGIN, View, World

_KEY = "reviewer:{}"


class HostedReviewer(BaseModel):
    """Who remarks what, on a line of a file of the pull request's head."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    author: str = Field(min_length=1)
    body: str = Field(min_length=1)
    path: str = Field(min_length=1)
    line: int = Field(default=1, ge=1)


def set_reviewer(con: sqlite3.Connection, repository_id: int, reviewer: HostedReviewer) -> None:
    """Have the repository reviewed from now on."""
    key = _KEY.format(repository_id)
    con.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, reviewer.model_dump_json()))


def is_content(world: World, pull: Pull) -> bool:
    """Return whether the reviewer lets a pull request be merged; remark on it first where there is no remark yet."""
    repository = pull.repository
    with world.database.writing() as con:
        row = con.execute("SELECT value FROM meta WHERE key = ?", (_KEY.format(repository.id),)).fetchone()
        if row is None:
            return True
        reviewer = HostedReviewer.model_validate(json.loads(row["value"]))
        view = View(world, con)
        author = store.ensure_account(con, reviewer.author, "User", world.now())
        threads = [thread for thread in store.threads(con, pull) if _began(con, thread.id, author.id)]
        if not threads:
            store_labels.set_permission(con, repository, author, "write")
            operations.open_thread(view, pull, author, reviewer.body, path=reviewer.path, line=reviewer.line)
            events.emit_review(view, pull, author, "COMMENTED")
            return False
        answered = [
            any(comment.author.login == VIEWER_LOGIN for comment in store.thread_comments(con, thread))
            for thread in threads
        ]
        if not all(answered):
            return False
        con.executemany("UPDATE threads SET resolved = 1 WHERE id = ?", [(thread.id,) for thread in threads])
    return True


def _began(con: sqlite3.Connection, thread_id: int, author_id: int) -> bool:
    first = con.execute(
        "SELECT author_id FROM thread_comments WHERE thread_id = ? ORDER BY id LIMIT 1", (thread_id,)
    ).fetchone()
    return first is not None and first["author_id"] == author_id
