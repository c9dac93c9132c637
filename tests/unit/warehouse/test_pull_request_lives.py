"""The view `pull_request_lives` on rows whose numbers are known."""

from collections.abc import Iterator, Sequence
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


def add_events(connection: duckdb.DuckDBPyConnection, events: Sequence[tuple[str, str | None, str, int]]) -> None:
    for number, (subject, before, after, minutes) in enumerate(events, 1):
        at = f"2026-11-01 {12 + minutes // 60}:{minutes % 60:02}:00+00"
        event = {"task_id": "t1", "subject": subject, "before": before, "after": after, "occurred_at": at}
        insert(connection, "task_events", id=number, **event)


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
        merged_at="2026-11-01 13:15:00+00",
        people_commits=1,
        people_added=4,
        people_removed=2,
    )
    add_events(connection, EVENTS)
    row = life(connection)
    assert (row["waiting_for_ci_s"], row["fixing_s"], row["answering_s"]) == (600, 600, 600)
    assert (row["waiting_for_review_s"], row["waiting_for_merge_s"], row["handed_over_s"]) == (1800, 900, 0)
    assert (row["people_waited_for_min"], row["fixes"], row["rounds"], row["people_lines"]) == (45, 1, 1, 6)
    assert row["first_review_at"].minute == 50
    assert (row["to_first_review_s"], row["to_ready_s"], row["to_end_s"]) == (3000, 1200, 4500)


def test_nobody_is_waited_for_between_the_end_and_when_it_was_heard_of(connection: duckdb.DuckDBPyConnection) -> None:
    # By hand: checks 10 min, conflict 5 min, review from 15 to 40, left to people from 40 to the close at 55.
    events = [
        ("follow", "waiting_for_ci", "updating", 10),
        ("follow", "updating", "waiting_for_review", 15),
        ("follow", "waiting_for_review", "handed_over", 40),
        ("follow", "handed_over", "handed_over", 45),
        ("follow", "handed_over", "closed", 90),
    ]
    pull = {"task_id": "t1", "repository": "acme/shop", "pr_number": 7, "state": "closed", "follow_state": "closed"}
    insert(connection, "outcomes", **pull, closed_at="2026-11-01 12:55:00+00", reviews=2)
    add_events(connection, events)
    row = life(connection)
    assert (row["waiting_for_ci_s"], row["updating_s"], row["waiting_for_review_s"]) == (600, 300, 1500)
    assert (row["handed_over_s"], row["people_waited_for_min"], row["reviews"]) == (900, 40, 2)
    assert (row["to_first_review_s"], row["to_ready_s"], row["to_end_s"]) == (None, 900, 3300)


def test_one_that_was_opened_again_is_not_waited_for_while_it_was_closed(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    events = [
        ("follow", "waiting_for_ci", "waiting_for_review", 10),
        ("follow", "waiting_for_review", "closed", 20),
        ("follow", "closed", "waiting_for_review", 50),
    ]
    insert(connection, "outcomes", task_id="t1", repository="acme/shop", pr_number=7, state="open")
    add_events(connection, events)
    row = life(connection)
    assert (row["waiting_for_review_s"], row["ended_at"]) == (10 * 60 + 70 * 60, None)


def test_an_open_one_waits_until_the_publication(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, "outcomes", task_id="t1", repository="acme/shop", pr_number=7, state="open")
    row = life(connection)
    assert (row["waiting_for_ci_s"], row["ended_at"], row["rounds"]) == (7200, None, 0)
