"""The view `pull_request_lives` on rows whose numbers are known."""

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from squire_pipelines.warehouse import schema
from tests.support.warehouse_rows import insert

EVENTS = [
    # subject, before, after, minutes after the opening
    ("follow", "waiting_for_ci", "fixing", 5),
    ("checks", None, "passed", 6),
    ("follow", "fixing", "waiting_for_ci", 15),
    ("follow", "waiting_for_ci", "waiting_for_review", 20),
    ("follow", "waiting_for_review", "answering", 50),
    ("follow", "answering", "answering", 52),
    ("follow", "answering", "waiting_for_merge", 60),
    ("follow", "waiting_for_merge", "merged", 75),
]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        schema.create_tables(connection)
        schema.create_metrics(connection)
        insert(connection, "_publication", published_at="2026-11-01 14:00:00+00")
        yield connection


def life(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    cursor = connection.execute("FROM pull_request_lives")
    (row,) = cursor.fetchall()
    return dict(zip([column[0] for column in cursor.description or ()], row, strict=True))


def test_a_life_is_summed_by_what_it_waited_for(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, "tasks", id="t1", repository="acme/shop", branch="squire/t1", base_branch="main", spec="{}")
    for number, (kind, status) in enumerate((("checks", "succeeded"), ("remarks", "failed"), ("checks", "cancelled"))):
        spec = f'{{"follow_up": {{"kind": "{kind}"}}}}'
        insert(
            connection,
            "tasks",
            id=f"w{number}",
            repository="acme/shop",
            branch=f"squire/w{number}",
            base_branch="squire/t1",
            spec=spec,
            status=status,
        )
    insert(
        connection,
        "outcomes",
        task_id="t1",
        repository="acme/shop",
        pr_number=7,
        state="merged",
        follow_state="merged",
        ending="merged_changed",
        merged_at="2026-11-01 13:14:00+00",
        people_commits=1,
        people_added=4,
        people_removed=2,
    )
    for number, (subject, before, after, minutes) in enumerate(EVENTS, 1):
        at = f"2026-11-01 {12 + minutes // 60}:{minutes % 60:02}:00+00"
        insert(
            connection,
            "task_events",
            id=number,
            task_id="t1",
            subject=subject,
            before=before,
            after=after,
            occurred_at=at,
        )
    row = life(connection)
    assert (row["waiting_for_ci_s"], row["fixing_s"], row["answering_s"]) == (600, 600, 600)
    assert (row["waiting_for_review_s"], row["waiting_for_merge_s"], row["handed_over_s"]) == (1800, 900, 0)
    assert (row["people_waited_for_min"], row["fixes"], row["rounds"], row["people_lines"]) == (45, 1, 1, 6)
    assert row["first_review_at"].minute == 50


def test_an_open_one_waits_until_the_publication(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, "outcomes", task_id="t1", repository="acme/shop", pr_number=7, state="open")
    row = life(connection)
    assert (row["waiting_for_ci_s"], row["ended_at"], row["rounds"]) == (7200, None, 0)
