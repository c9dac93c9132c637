"""Reads and writes the history of texts and titles."""

import sqlite3

from squire_forge import store
from squire_forge.records import Account, Comment, Thread, ThreadComment, Ticket, TicketEdit


def record_body(con: sqlite3.Connection, ticket: Ticket, body: str, editor: Account, now: str) -> None:
    """Record that `editor` gave a ticket a new text; its first text is recorded with the first edit, as GitHub does."""
    if not any(edit.body is not None for edit in edits(con, ticket)):
        _insert(con, ticket, ticket.author, ticket.created_at, body=ticket.body)
    _insert(con, ticket, editor, now, body=body)


def record_title(con: sqlite3.Connection, ticket: Ticket, title: str, editor: Account, now: str) -> None:
    """Record that `editor` gave a ticket a new title."""
    _insert(con, ticket, editor, now, title=title, previous_title=ticket.title)


def edits(con: sqlite3.Connection, ticket: Ticket) -> list[TicketEdit]:
    """Return the history of a ticket's text and title, oldest first."""
    rows = con.execute("SELECT * FROM ticket_edits WHERE ticket_id = ? ORDER BY id", (ticket.id,)).fetchall()
    return [
        TicketEdit(
            id=row["id"],
            editor=store.account(con, row["editor_id"]),
            body=row["body"],
            title=row["title"],
            previous_title=row["previous_title"],
            edited_at=row["edited_at"],
        )
        for row in rows
    ]


def edit_comment(con: sqlite3.Connection, comment: ThreadComment, body: str, editor: Account, now: str) -> None:
    """Give a comment of a review thread a new text."""
    con.execute(
        "UPDATE thread_comments SET body = ?, editor_id = ?, edited_at = ?, updated_at = ? WHERE id = ?",
        (body, editor.id, now, now, comment.id),
    )


def rewrite_comment(con: sqlite3.Connection, comment: Comment, body: str, now: str) -> None:
    """Give a comment below an issue or a pull request a new text."""
    con.execute("UPDATE comments SET body = ?, updated_at = ? WHERE id = ?", (body, now, comment.id))


def resolve(con: sqlite3.Connection, thread: Thread) -> None:
    """Resolve a review thread."""
    con.execute("UPDATE threads SET resolved = 1 WHERE id = ?", (thread.id,))


def _insert(con: sqlite3.Connection, ticket: Ticket, editor: Account, now: str, **values: str) -> None:
    store.insert(con, "ticket_edits", ticket_id=ticket.id, editor_id=editor.id, edited_at=now, **values)
