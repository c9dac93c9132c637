"""The view `merged_pull_requests` on rows that are put into the tables by hand."""

from collections.abc import Iterator

import duckdb
import pytest

from squire_pipelines.warehouse import schema
from tests.support.warehouse_rows import insert

SHOP, JUDGED, LATER, MERGE = "acme/shop", "a" * 40, "b" * 40, "c" * 40
MERGED_AT = "2026-11-01 13:00:00+00"


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        schema.create_tables(connection)
        schema.create_metrics(connection)
        yield connection


def pull(connection: duckdb.DuckDBPyConnection, number: int, state: str, **values: object) -> None:
    row = {"repository": SHOP, "pr_number": number, "head_sha": LATER, "state": state, **values}
    insert(connection, "outcomes", task_id=f"t{number}", **row)


def test_each_merge_has_its_way_its_head_and_what_broke_after_it(connection: duckdb.DuckDBPyConnection) -> None:
    pull(connection, 1, "merged", merged_at=MERGED_AT)
    insert(connection, "merges", task_id="t1", progress="merged", way="merge_queue", method="squash", head_sha=JUDGED)
    why = "tests passed before the merge and fails now, in a second run, too"
    watch = {"verdict": "broken", "reason": why, "merge_sha": MERGE, "revert_number": 9}
    insert(connection, "base_watches", task_id="t1", **watch)
    # A person merged it while Squire waited for an approval.
    pull(connection, 2, "reverted", merged_at=MERGED_AT, ended_by="ann", merge_sha=MERGE)
    insert(connection, "merges", task_id="t2", progress="waiting", reason="waits for an approving review")
    insert(connection, "base_watches", task_id="t2", verdict="red_before", reason="tests failed before, too")
    # Nobody looked at the base after this one, and the settings leave its merge to people.
    pull(connection, 3, "merged", merged_at=MERGED_AT)
    for number, state in ((4, "open"), (5, "closed")):
        pull(connection, number, state)
        insert(connection, "merges", task_id=f"t{number}", progress="refused", way="direct", head_sha=LATER)
    columns = "pr_number, by_squire, way, method, head_sha, merge_sha, base_verdict, broke_base, is_reverted"
    rows = connection.execute(f"SELECT {columns} FROM merged_pull_requests ORDER BY pr_number").fetchall()  # noqa: S608 - ours
    assert rows == [
        (1, True, "merge_queue", "squash", JUDGED, MERGE, "broken", True, False),
        (2, False, None, None, LATER, MERGE, "red_before", False, True),
        (3, False, None, None, LATER, None, None, False, False),
    ]
    (first,) = connection.execute(
        "SELECT base_reason, revert_number FROM merged_pull_requests WHERE by_squire"
    ).fetchall()
    assert first == (why, 9)
