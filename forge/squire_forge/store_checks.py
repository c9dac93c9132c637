"""Reads and writes checks, statuses and webhook deliveries. Repositories and tickets are in `store`."""

import sqlite3
from collections.abc import Sequence

from squire_forge.records import (
    CheckRun,
    CommitStatus,
    Delivery,
    Expectation,
    Repository,
    Suite,
)
from squire_forge.store import insert

KEPT_DELIVERIES = 5_000


def expectations(con: sqlite3.Connection, repository_id: int) -> list[Expectation]:
    """Return the expectations of a repository's checks, in the order in which they were added."""
    rows = con.execute("SELECT * FROM expectations WHERE repository_id = ? ORDER BY id", (repository_id,)).fetchall()
    return [
        Expectation(
            check_name=row["check_name"],
            path=row["path"],
            pattern=row["pattern"],
            must_match=bool(row["must_match"]),
            message=row["message"],
            flaky=bool(row["flaky"]),
        )
        for row in rows
    ]


def suite(con: sqlite3.Connection, repo: Repository, sha: str) -> Suite | None:
    """Return the check suite of a commit, None if it had no checks (yet)."""
    row = con.execute("SELECT * FROM suites WHERE repository_id = ? AND sha = ?", (repo.id, sha)).fetchone()
    return _suite(row, repo) if row else None


def suite_by_id(con: sqlite3.Connection, repo: Repository, suite_id: int) -> Suite | None:
    """Return a check suite of a repository by its id."""
    row = con.execute("SELECT * FROM suites WHERE repository_id = ? AND id = ?", (repo.id, suite_id)).fetchone()
    return _suite(row, repo) if row else None


def _suite(row: sqlite3.Row, repo: Repository) -> Suite:
    return Suite(
        id=row["id"],
        repository=repo,
        sha=row["sha"],
        branch=row["branch"],
        conclusion=row["conclusion"],
        created_at=row["created_at"],
    )


def check_runs(con: sqlite3.Connection, of: Suite) -> list[CheckRun]:
    """Return the newest run of each check of a suite, in order; a job that ran again counts once."""
    rows = con.execute(
        "SELECT * FROM check_runs WHERE id IN (SELECT MAX(id) FROM check_runs WHERE suite_id = ? GROUP BY name) "
        "ORDER BY id",
        (of.id,),
    ).fetchall()
    return [_check_run(row, of) for row in rows]


def check_run(con: sqlite3.Connection, repo: Repository, run_id: int) -> CheckRun | None:
    """Return one check of a repository by its id."""
    row = con.execute(
        "SELECT c.*, s.sha FROM check_runs c JOIN suites s ON s.id = c.suite_id WHERE c.id = ? AND s.repository_id = ?",
        (run_id, repo.id),
    ).fetchone()
    of = suite(con, repo, row["sha"]) if row else None
    return _check_run(row, of) if of else None


def _check_run(row: sqlite3.Row, of: Suite) -> CheckRun:
    return CheckRun(
        id=row["id"],
        suite=of,
        name=row["name"],
        conclusion=row["conclusion"],
        title=row["title"],
        summary=row["summary"],
        text=row["text"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
    )


def statuses(con: sqlite3.Connection, repo: Repository, sha: str) -> list[CommitStatus]:
    """Return the statuses on a commit, oldest first."""
    rows = con.execute(
        "SELECT * FROM statuses WHERE repository_id = ? AND sha = ? ORDER BY id", (repo.id, sha)
    ).fetchall()
    return [
        CommitStatus(
            id=row["id"],
            repository=repo,
            sha=row["sha"],
            context=row["context"],
            state=row["state"],
            description=row["description"],
            created_at=row["created_at"],
            target_url=row["target_url"],
        )
        for row in rows
    ]


def add_delivery(
    con: sqlite3.Connection,
    *,
    guid: str,
    repository_id: int,
    event: str,
    action: str | None,
    body: bytes,
    now: str,
    redelivery: bool = False,
) -> int:
    """Queue a webhook; the oldest beyond KEPT_DELIVERIES are deleted."""
    made = insert(
        con,
        "deliveries",
        guid=guid,
        repository_id=repository_id,
        event=event,
        action=action,
        body=body,
        redelivery=redelivery,
        created_at=now,
        status="pending",
    )
    con.execute("DELETE FROM deliveries WHERE id <= ?", (made - KEPT_DELIVERIES,))
    return made


def deliveries(
    con: sqlite3.Connection,
    *,
    repository_id: int | None = None,
    pending: bool = False,
    first: int | None = None,
    limit: int = 100,
) -> Sequence[Delivery]:
    """Return the pending deliveries oldest first, or all deliveries newest first, from the one with the id `first`."""
    of = "SELECT * FROM deliveries WHERE (?1 IS NULL OR repository_id = ?1) AND (?3 IS NULL OR id <= ?3)"
    which = "AND delivered_at IS NULL ORDER BY id" if pending else "ORDER BY id DESC"
    rows = con.execute(f"{of} {which} LIMIT ?2", (repository_id, limit, first)).fetchall()
    return [_delivery(row) for row in rows]


def delivery(con: sqlite3.Connection, repository_id: int | None, delivery_id: int) -> Delivery | None:
    """Return one delivery of a repository, or of any."""
    row = con.execute(
        "SELECT * FROM deliveries WHERE id = ?1 AND (?2 IS NULL OR repository_id = ?2)", (delivery_id, repository_id)
    ).fetchone()
    return _delivery(row) if row else None


def settle_delivery(
    con: sqlite3.Connection,
    delivery_id: int,
    *,
    now: str,
    duration: float,
    status: str,
    status_code: int,
    response: str,
) -> None:
    """Record the result of a delivery."""
    con.execute(
        "UPDATE deliveries SET delivered_at = ?, duration = ?, status = ?, status_code = ?, response = ? WHERE id = ?",
        (now, duration, status, status_code, response, delivery_id),
    )


def _delivery(row: sqlite3.Row) -> Delivery:
    return Delivery(
        id=row["id"],
        guid=row["guid"],
        repository_id=row["repository_id"],
        event=row["event"],
        action=row["action"],
        body=bytes(row["body"]),
        redelivery=bool(row["redelivery"]),
        created_at=row["created_at"],
        delivered_at=row["delivered_at"],
        duration=row["duration"],
        status=row["status"],
        status_code=row["status_code"],
        response=row["response"],
    )
