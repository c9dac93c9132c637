"""Reads and writes repositories, issues and pull requests. Checks and deliveries are in `store_checks`."""

import sqlite3
from collections.abc import Iterable, Sequence

from squire_forge.records import (
    Account,
    AccountKind,
    Comment,
    Label,
    Pull,
    Repository,
    Review,
    Thread,
    ThreadComment,
    Ticket,
)

_LABEL_COLOURS = ("0e8a16", "1d76db", "5319e7", "b60205", "d93f0b", "fbca04", "006b75", "c5def5")
# GitHub's ids are large; high ids reveal a client that mistakes an id for an issue's number.
_FIRST_ID = 1_000_001


def insert(con: sqlite3.Connection, table: str, **values: object) -> int:
    """Insert one row and return its id. `table` and the column names come from our code, never from a request."""
    if "id" not in values and table not in {"pulls", "ticket_labels", "branches", "permissions"}:
        values["id"] = con.execute(f"SELECT COALESCE(MAX(id) + 1, {_FIRST_ID}) FROM {table}").fetchone()[0]  # noqa: S608 - names from our code
    columns, marks = ", ".join(values), ", ".join("?" for _ in values)
    cursor = con.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(values.values()))  # noqa: S608 - names from our code
    return cursor.lastrowid or 0


def account(con: sqlite3.Connection, account_id: int) -> Account:
    """Return the account with this id."""
    row = con.execute("SELECT * FROM accounts WHERE id = ?", (account_id,)).fetchone()
    return Account(id=row["id"], login=row["login"], kind=row["kind"], created_at=row["created_at"])


def ensure_account(con: sqlite3.Connection, login: str, kind: AccountKind, now: str) -> Account:
    """Return the account of this login; create it if it is new."""
    row = con.execute("SELECT id FROM accounts WHERE login = ?", (login,)).fetchone()
    account_id = row["id"] if row else insert(con, "accounts", login=login, kind=kind, created_at=now)
    return account(con, account_id)


def _repository(con: sqlite3.Connection, row: sqlite3.Row) -> Repository:
    return Repository(
        id=row["id"],
        owner=account(con, row["owner_id"]),
        name=row["name"],
        description=row["description"],
        default_branch=row["default_branch"],
        private=bool(row["private"]),
        archived=bool(row["archived"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        pushed_at=row["pushed_at"],
    )


def repositories(con: sqlite3.Connection) -> list[Repository]:
    """Return all repositories by name."""
    rows = con.execute("SELECT r.* FROM repositories r JOIN accounts a ON a.id = r.owner_id ORDER BY a.login, r.name")
    return [_repository(con, row) for row in rows.fetchall()]


def repository(con: sqlite3.Connection, repository_id: int) -> Repository:
    """Return the repository with this id."""
    row = con.execute("SELECT * FROM repositories WHERE id = ?", (repository_id,)).fetchone()
    return _repository(con, row)


def find_repository(con: sqlite3.Connection, owner: str, name: str) -> Repository | None:
    """Return the repository of this name (letter case does not matter, as at GitHub)."""
    row = con.execute(
        "SELECT r.* FROM repositories r JOIN accounts a ON a.id = r.owner_id"
        " WHERE a.login = ? COLLATE NOCASE AND r.name = ? COLLATE NOCASE",
        (owner, name),
    ).fetchone()
    return _repository(con, row) if row else None


def branches(con: sqlite3.Connection, repository_id: int) -> dict[str, str]:
    """Return the branches as last announced."""
    rows = con.execute("SELECT name, sha FROM branches WHERE repository_id = ?", (repository_id,))
    return {row["name"]: row["sha"] for row in rows.fetchall()}


def set_branch(con: sqlite3.Connection, repository_id: int, name: str, sha: str | None, now: str) -> None:
    """Record where a branch points, None when it is gone."""
    con.execute("DELETE FROM branches WHERE repository_id = ? AND name = ?", (repository_id, name))
    if sha is not None:
        insert(con, "branches", repository_id=repository_id, name=name, sha=sha)
    con.execute("UPDATE repositories SET pushed_at = ?, updated_at = ? WHERE id = ?", (now, now, repository_id))


def next_number(con: sqlite3.Connection, repository_id: int) -> int:
    """Take the repository's next number of issues and pull requests."""
    row = con.execute(
        "UPDATE repositories SET next_number = next_number + 1 WHERE id = ? RETURNING next_number - 1 AS n",
        (repository_id,),
    ).fetchone()
    return int(row["n"])


def _ticket(con: sqlite3.Connection, row: sqlite3.Row, repo: Repository) -> Ticket:
    return Ticket(
        id=row["id"],
        repository=repo,
        number=row["number"],
        title=row["title"],
        body=row["body"],
        state=row["state"],
        author=account(con, row["author_id"]),
        association=row["association"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        closed_at=row["closed_at"],
    )


def _pull(con: sqlite3.Connection, row: sqlite3.Row, repo: Repository) -> Pull:
    ticket = _ticket(con, row, repo)
    return Pull(
        **{name: getattr(ticket, name) for name in Ticket.__slots__},
        head_ref=row["head_ref"],
        head_sha=row["head_sha"],
        fork=row["fork"],
        base_ref=row["base_ref"],
        base_sha=row["base_sha"],
        draft=bool(row["draft"]),
        candidate_sha=row["candidate_sha"],
        candidate_by=row["candidate_by"],
        merged_at=row["merged_at"],
        merge_sha=row["merge_sha"],
        merged_by=row["merged_by"],
    )


_PULL = "SELECT t.*, p.* FROM tickets t JOIN pulls p ON p.ticket_id = t.id WHERE t.repository_id = ?"


def pulls(con: sqlite3.Connection, repo: Repository, *, state: str | None = None) -> list[Pull]:
    """Return the pull requests of a repository by number; `state` is open, closed or None for all."""
    rows = con.execute(f"{_PULL} AND (? IS NULL OR t.state = ?) ORDER BY t.number", (repo.id, state, state)).fetchall()
    return [_pull(con, row, repo) for row in rows]


def pull(con: sqlite3.Connection, repo: Repository, number: int) -> Pull | None:
    """Return one pull request."""
    row = con.execute(f"{_PULL} AND t.number = ?", (repo.id, number)).fetchone()
    return _pull(con, row, repo) if row else None


def issues(con: sqlite3.Connection, repo: Repository) -> list[Ticket]:
    """Return the issues of a repository by number, without its pull requests."""
    rows = con.execute(
        "SELECT * FROM tickets WHERE repository_id = ? AND NOT is_pull ORDER BY number", (repo.id,)
    ).fetchall()
    return [_ticket(con, row, repo) for row in rows]


def ticket(con: sqlite3.Connection, repo: Repository, number: int) -> Ticket | None:
    """Return an issue or a pull request by number; a pull request comes as Pull."""
    row = con.execute("SELECT * FROM tickets WHERE repository_id = ? AND number = ?", (repo.id, number)).fetchone()
    if row is None:
        return None
    return pull(con, repo, number) if row["is_pull"] else _ticket(con, row, repo)


def touch_ticket(con: sqlite3.Connection, ticket_id: int, now: str, **changes: object) -> None:
    """Change columns of a ticket and its time of update. The column names come from our code, never from a request."""
    values = {**changes, "updated_at": now}
    assignments = ", ".join(f"{name} = ?" for name in values)
    con.execute(f"UPDATE tickets SET {assignments} WHERE id = ?", (*values.values(), ticket_id))  # noqa: S608 - names from our code


def change_pull(con: sqlite3.Connection, ticket_id: int, **changes: object) -> None:
    """Change columns of a pull request. The column names come from our code, never from a request."""
    assignments = ", ".join(f"{name} = ?" for name in changes)
    con.execute(f"UPDATE pulls SET {assignments} WHERE ticket_id = ?", (*changes.values(), ticket_id))  # noqa: S608 - names from our code


def labels(con: sqlite3.Connection, ticket_id: int) -> list[Label]:
    """Return the labels of a ticket, oldest label first."""
    rows = con.execute(
        "SELECT l.* FROM labels l JOIN ticket_labels tl ON tl.label_id = l.id WHERE tl.ticket_id = ? ORDER BY l.id",
        (ticket_id,),
    ).fetchall()
    return [Label(id=row["id"], name=row["name"], color=row["color"]) for row in rows]


def add_labels(con: sqlite3.Connection, repository_id: int, ticket_id: int, names: Iterable[str]) -> list[str]:
    """Add labels to a ticket, creating new ones, and return the names that it did not have before."""
    before = {label.name.lower() for label in labels(con, ticket_id)}
    added = []
    for name in names:
        if name.lower() in before:
            continue
        row = con.execute(
            "SELECT id FROM labels WHERE repository_id = ? AND name = ? COLLATE NOCASE", (repository_id, name)
        ).fetchone()
        colour = _LABEL_COLOURS[sum(name.encode()) % len(_LABEL_COLOURS)]
        label_id = row["id"] if row else insert(con, "labels", repository_id=repository_id, name=name, color=colour)
        insert(con, "ticket_labels", ticket_id=ticket_id, label_id=label_id)
        before.add(name.lower())
        added.append(name)
    return added


def comments(con: sqlite3.Connection, of: Ticket) -> list[Comment]:
    """Return the comments below a ticket, oldest first."""
    rows = con.execute("SELECT * FROM comments WHERE ticket_id = ? ORDER BY id", (of.id,)).fetchall()
    return [
        Comment(
            id=row["id"],
            ticket=of,
            author=account(con, row["author_id"]),
            body=row["body"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )
        for row in rows
    ]


def threads(con: sqlite3.Connection, of: Pull) -> list[Thread]:
    """Return the review threads of a pull request, oldest first."""
    rows = con.execute("SELECT * FROM threads WHERE ticket_id = ? ORDER BY id", (of.id,)).fetchall()
    return [
        Thread(
            id=row["id"],
            pull=of,
            path=row["path"],
            line=row["line"],
            commit_sha=row["commit_sha"],
            resolved=bool(row["resolved"]),
            outdated=bool(row["outdated"]),
        )
        for row in rows
    ]


def thread_comments(con: sqlite3.Connection, of: Thread) -> list[ThreadComment]:
    """Return the comments of a review thread, oldest first."""
    rows = con.execute("SELECT * FROM thread_comments WHERE thread_id = ? ORDER BY id", (of.id,)).fetchall()
    return [
        ThreadComment(
            id=row["id"],
            thread=of,
            author=account(con, row["author_id"]),
            body=row["body"],
            commit_sha=row["commit_sha"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            editor=None if row["editor_id"] is None else account(con, row["editor_id"]),
            edited_at=row["edited_at"],
        )
        for row in rows
    ]


def reviews(con: sqlite3.Connection, of: Pull) -> Sequence[Review]:
    """Return the submitted reviews of a pull request, oldest first."""
    rows = con.execute("SELECT * FROM reviews WHERE ticket_id = ? ORDER BY id", (of.id,)).fetchall()
    return [
        Review(
            id=row["id"],
            pull=of,
            author=account(con, row["author_id"]),
            state=row["state"],
            body=row["body"],
            commit_sha=row["commit_sha"],
            submitted_at=row["submitted_at"],
        )
        for row in rows
    ]
