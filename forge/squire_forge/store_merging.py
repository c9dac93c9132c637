"""The rows about merging: a repository's rules, requests to merge, and their ends. `merging` has what they mean."""

import sqlite3

from squire_forge import store
from squire_forge.records import Account, MergeWish, MergeWishEnd, Pull, Repository


def rules_text(con: sqlite3.Connection, repository: Repository) -> str | None:
    """Return the rules as JSON; None where a repository has none of its own."""
    row = con.execute("SELECT rules FROM merge_rules WHERE repository_id = ?", (repository.id,)).fetchone()
    return None if row is None else str(row["rules"])


def set_rules(con: sqlite3.Connection, repository: Repository, rules: str) -> None:
    """Replace the rules, which are JSON."""
    con.execute("INSERT OR REPLACE INTO merge_rules (repository_id, rules) VALUES (?, ?)", (repository.id, rules))


def wish(con: sqlite3.Connection, pull: Pull) -> MergeWish | None:
    """Return the request to merge a pull request, None without one."""
    row = con.execute("SELECT * FROM merge_requests WHERE ticket_id = ?", (pull.id,)).fetchone()
    if row is None:
        return None
    return MergeWish(pull.id, row["kind"], row["method"], store.account(con, row["by_id"]), row["created_at"])


def add_wish(con: sqlite3.Connection, pull: Pull, kind: str, *, method: str, by: Account, now: str) -> None:
    """Record a request to merge a pull request that has none."""
    con.execute(
        "INSERT INTO merge_requests (ticket_id, kind, method, by_id, created_at) VALUES (?, ?, ?, ?, ?)",
        (pull.id, kind, method, by.id, now),
    )


def remove_wish(con: sqlite3.Connection, pull: Pull) -> None:
    """Forget the request to merge a pull request."""
    con.execute("DELETE FROM merge_requests WHERE ticket_id = ?", (pull.id,))


def add_end(con: sqlite3.Connection, pull: Pull, kind: str, *, actor: Account, reason: str, now: str) -> None:
    """Record who ended a request, and why."""
    store.insert(
        con, "merge_request_ends", ticket_id=pull.id, kind=kind, actor_id=actor.id, reason=reason, created_at=now
    )


def ends(con: sqlite3.Connection, ticket_id: int) -> list[MergeWishEnd]:
    """Return the requests that ended before a merge, oldest first."""
    rows = con.execute("SELECT * FROM merge_request_ends WHERE ticket_id = ? ORDER BY id", (ticket_id,)).fetchall()
    return [
        MergeWishEnd(row["id"], row["kind"], store.account(con, row["actor_id"]), row["reason"], row["created_at"])
        for row in rows
    ]
