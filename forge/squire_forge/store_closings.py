"""Reads and writes who closed a ticket, by what, and who deleted the branch of a pull request."""

import sqlite3

from squire_forge import store
from squire_forge.records import Account, BranchDeletion, Closing, Ticket


def record_closing(
    con: sqlite3.Connection,
    ticket: Ticket,
    actor: Account,
    now: str,
    *,
    pull: int | None = None,
    commit: str | None = None,
) -> None:
    """Record that `actor` closed a ticket, or a pull request (its number) or a commit of theirs did."""
    store.insert(
        con,
        "closings",
        ticket_id=ticket.id,
        actor_id=actor.id,
        by_pull=pull,
        by_commit=commit,
        is_deletion=False,
        created_at=now,
    )


def record_deletion(con: sqlite3.Connection, ticket: Ticket, actor: Account, now: str) -> None:
    """Record that `actor` deleted a pull request's branch."""
    store.insert(con, "closings", ticket_id=ticket.id, actor_id=actor.id, is_deletion=True, created_at=now)


def events(con: sqlite3.Connection, ticket: Ticket) -> list[Closing | BranchDeletion]:
    """Return when a ticket was closed and its branch deleted, oldest first."""
    rows = con.execute("SELECT * FROM closings WHERE ticket_id = ? ORDER BY id", (ticket.id,)).fetchall()
    return [
        BranchDeletion(row["id"], store.account(con, row["actor_id"]), row["created_at"])
        if row["is_deletion"]
        else Closing(
            row["id"], ticket, store.account(con, row["actor_id"]), row["by_pull"], row["by_commit"], row["created_at"]
        )
        for row in rows
    ]
