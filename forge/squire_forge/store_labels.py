"""Reads and writes the history of labels and the permissions of accounts."""

import sqlite3

from squire_forge import store
from squire_forge.records import Account, Label, LabelEvent, Repository, Ticket
from squire_forge.world import VIEWER_LOGIN


def record(con: sqlite3.Connection, ticket: Ticket, name: str, actor: Account, now: str, *, removed: bool) -> None:
    """Record that `actor` added a label, or removed it."""
    row = con.execute(
        "SELECT id FROM labels WHERE repository_id = ? AND name = ? COLLATE NOCASE", (ticket.repository.id, name)
    ).fetchone()
    store.insert(
        con,
        "label_events",
        ticket_id=ticket.id,
        actor_id=actor.id,
        label_id=row["id"],
        removed=removed,
        created_at=now,
    )


def events(con: sqlite3.Connection, ticket: Ticket) -> list[LabelEvent]:
    """Return the history of a ticket's labels, oldest first."""
    rows = con.execute(
        "SELECT e.*, l.name, l.color FROM label_events e JOIN labels l ON l.id = e.label_id"
        " WHERE e.ticket_id = ? ORDER BY e.id",
        (ticket.id,),
    ).fetchall()
    return [
        LabelEvent(
            id=row["id"],
            actor=store.account(con, row["actor_id"]),
            label=Label(id=row["label_id"], name=row["name"], color=row["color"]),
            removed=bool(row["removed"]),
            created_at=row["created_at"],
        )
        for row in rows
    ]


def remove(con: sqlite3.Connection, ticket: Ticket, name: str) -> Label | None:
    """Remove a label from a ticket and return it, None when the ticket does not have it."""
    removed = next((label for label in store.labels(con, ticket.id) if label.name.lower() == name.lower()), None)
    if removed is not None:
        con.execute("DELETE FROM ticket_labels WHERE ticket_id = ? AND label_id = ?", (ticket.id, removed.id))
    return removed


def permission(con: sqlite3.Connection, repository: Repository, account: Account) -> str:
    """Return an account's permission: admin, write, read or none."""
    row = con.execute(
        "SELECT permission FROM permissions WHERE repository_id = ? AND account_id = ?", (repository.id, account.id)
    ).fetchone()
    if row is not None:
        return str(row["permission"])
    if account.id == repository.owner.id:
        return "admin"
    return "write" if account.login == VIEWER_LOGIN else "none" if repository.private else "read"


def set_permission(con: sqlite3.Connection, repository: Repository, account: Account, value: str) -> None:
    """Set an account's permission."""
    con.execute(
        "INSERT OR REPLACE INTO permissions (repository_id, account_id, permission) VALUES (?, ?, ?)",
        (repository.id, account.id, value),
    )
