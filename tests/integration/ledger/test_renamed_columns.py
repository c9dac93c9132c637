"""Upgrading a ledger in which columns have their earlier names: what they hold is kept, both ways."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from squire_pipelines.ledger.store import Ledger
from tests.support.ledger_schema import downgrade, upgrade
from tests.support.ledgers import PostgresServer

TIME = "2026-11-01 12:00:00.000000+00"
TASK = {
    "id": "t1",
    "repository": "acme/shop",
    "status": "ready",
    "kind": "manual",
    "title": "Fix it",
    "title_words": "fix it",
    "priority": 50,
    "fingerprint": "f",
    "spec": "{}",
    "branch": "squire/t1",
    "base_branch": "main",
    "max_attempts": 1,
    "trace_id": "ab" * 16,
    "created_at": TIME,
    "updated_at": TIME,
}
PULL = {"repository": "acme/shop", "pr_number": 7, "updated_at": TIME}
BEFORE: dict[str, dict[str, Any]] = {
    "outcomes": {
        **PULL,
        "task_id": "t1",
        "pr_url": "https://github.com/acme/shop/pull/7",
        "head_sha": "a" * 40,
        "state": "open",
        "opened_at": TIME,
        "forge_updated_at": TIME,
        "told_reason": "it is theirs",
        "answered": "t2",
    },
    "merges": {
        **PULL,
        "task_id": "t1",
        "progress": "refused",
        "reason": "a rule",
        "told": "a rule",
        "judged": "aaaa passed",
    },
    "base_watches": {**PULL, "task_id": "t1", "verdict": "broken", "reason": "tests", "told": "tests fail"},
    "dashboards": {
        "repository": "acme/shop",
        "epoch": "e",
        "state": "open",
        "woken": False,
        "tries": 0,
        "written": "w",
        "seen": "s",
        "updated_at": TIME,
    },
    "head_reports": {
        "repository": "acme/shop",
        "head_sha": "a" * 40,
        "task_id": "t1",
        "number": 7,
        "reports": 1,
        "settled": False,
        "tries": 0,
        "reported": "r",
        "tried": "t",
        "updated_at": TIME,
    },
}
AFTER = {
    "outcomes": {"announced_reason": "it is theirs", "answered_task_id": "t2"},
    "merges": {"announced_reason": "a rule", "judged_facts": "aaaa passed"},
    "base_watches": {"announced_reason": "tests fail"},
    "dashboards": {"written_digest": "w", "stored_digest": "s"},
    "head_reports": {"reported_digest": "r", "tried_digest": "t"},
}


@pytest.fixture
def ledger(database: str, request: pytest.FixtureRequest, tmp_path: Path, open_at: Callable[..., Ledger]) -> Ledger:
    if database == "sqlite":
        return open_at(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    server: PostgresServer = request.getfixturevalue("postgres")
    return open_at(server.new_database())


def insert(ledger: Ledger, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    with ledger.write() as tx:
        tx.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)  # noqa: S608 - names of our own


def rows_of(ledger: Ledger, table: str, columns: list[str]) -> list[dict[str, Any]]:
    with ledger.read() as tx:
        query = text(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608 - names of our own
        return [dict(row) for row in tx.execute(query).mappings()]


def test_renamed_columns_keep_what_they_hold_up_and_down(ledger: Ledger) -> None:
    upgrade(ledger, "0032")
    insert(ledger, "tasks", TASK)
    for table, row in BEFORE.items():
        insert(ledger, table, row)
    gone = BEFORE["merges"] | {"task_id": "t0"}  # its task was archived by a Squire that did not archive its merge
    insert(ledger, "merges", gone)

    upgrade(ledger, "0033")
    for table, row in AFTER.items():
        assert rows_of(ledger, table, list(row)) == [row], table

    downgrade(ledger, "0032")
    for table, row in BEFORE.items():
        held_before = {name: value for name, value in row.items() if not name.endswith("_at")}
        assert rows_of(ledger, table, list(held_before)) == [held_before], table
