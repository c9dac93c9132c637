from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from squire_pipelines.errors import LedgerError, NotFoundError
from squire_pipelines.ledger import wordlist
from squire_pipelines.ledger.list_sql import read_ids
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.task_query import (
    FINAL_STATUSES,
    KINDS,
    STATUSES,
    PagePositionError,
    SortOrder,
    TaskQuery,
    read_ids_like,
)
from squire_pipelines.ledger.tasks import list_tasks, query_runner
from tests.support.many_tasks import EVERY_ORDER, NOUNS, START, VERBS, expected_ids, insert_tasks, task_rows

SPAN = timedelta(days=10)
WORDS = ("task", "the", *VERBS, *NOUNS, "number", "17", "nowhere")
MOMENTS = st.none() | st.integers(0, 11 * 24).map(lambda hours: START + timedelta(hours=hours))


def few(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    """None, or some of these."""
    return st.just(()) | st.lists(st.sampled_from(values), max_size=3).map(tuple)


QUERIES = st.builds(
    TaskQuery,
    statuses=few(STATUSES),
    repository=st.none() | st.sampled_from(("acme/repo0", "Acme/Repo1", "acme/none")),
    kinds=few(KINDS),
    causes=few(("completed", "agent_error", "timeout", "cancelled", "bogus")),
    created_since=MOMENTS,
    created_until=MOMENTS,
    ended_since=MOMENTS,
    ended_until=MOMENTS,
    text=st.just("") | st.lists(st.sampled_from(WORDS), max_size=3).map(", ".join) | st.just("?!"),
    order=st.sampled_from(EVERY_ORDER),
    limit=st.sampled_from((1, 7, 100)),
)


def all_pages(tx: Transaction, query: TaskQuery, **bounds: int) -> list[str]:
    """The ids of every page, one after the other."""
    found, after = read_ids(query_runner(tx), query, **bounds)
    pages = 1
    while after is not None and pages < 400:
        page, after = read_ids(query_runner(tx), replace(query, after=after), **bounds)
        assert page
        found += page
        pages += 1
    return found


def test_paging_through_any_filter_and_order_gives_each_task_once_in_order(ledger: Ledger) -> None:
    rows = list(task_rows(250, even=True, span=SPAN))
    insert_tasks(ledger, rows)

    @settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(query=QUERIES, counted=st.sampled_from((1, 40, 10_000)), at_most_sorted=st.sampled_from((1, 1_500)))
    def check(query: TaskQuery, counted: int, at_most_sorted: int) -> None:
        query = replace(query, limit=max(query.limit, 5))
        with ledger.read() as tx:
            assert all_pages(tx, query, counted=counted, at_most_sorted=at_most_sorted) == expected_ids(rows, query)

    check()


@pytest.mark.parametrize("order", EVERY_ORDER)
def test_tasks_added_between_two_pages_move_none_of_the_others(ledger: Ledger, order: SortOrder) -> None:
    rows = list(task_rows(120, even=True, span=SPAN))
    early, late = rows[::2], rows[1::2]
    insert_tasks(ledger, early)
    query = TaskQuery(order=order, limit=7)
    found: list[str] = []
    after = None
    while True:
        with ledger.read() as tx:
            page, after = read_ids(query_runner(tx), replace(query, after=after))
        found += page
        if after is None:
            break
        insert_tasks(ledger, late[:3])
        late = late[3:]
    assert len(found) == len(set(found))
    assert {row["id"] for row in early} <= set(found)


def test_a_page_goes_on_though_its_last_task_was_deleted(ledger: Ledger) -> None:
    rows = list(task_rows(10, even=True, span=SPAN))
    insert_tasks(ledger, rows)
    with ledger.write() as tx:
        first, after = read_ids(query_runner(tx), TaskQuery(limit=4))
        wordlist.forget(tx, first)
        tx.connection.exec_driver_sql(f"DELETE FROM tasks WHERE id = '{first[-1]}'")  # noqa: S608 - an id of ours
        rest, end = read_ids(query_runner(tx), TaskQuery(limit=10, after=after))
    assert first + rest == expected_ids(rows, TaskQuery())
    assert end is None


def test_a_place_of_another_order_is_refused(ledger: Ledger) -> None:
    insert_tasks(ledger, list(task_rows(5, even=True, span=SPAN)))
    with ledger.read() as tx:
        _, after = read_ids(query_runner(tx), TaskQuery(limit=2, order=SortOrder.PRIORITY))
        for bad in (after, "t1@yesterday", "t1@2026-03-01@x"):
            with pytest.raises(PagePositionError, match="no place in a list by newest"):
                read_ids(query_runner(tx), TaskQuery(after=bad))
        with pytest.raises(NotFoundError, match="'t1'"):
            read_ids(query_runner(tx), TaskQuery(after="t1"))


def test_a_bare_id_is_a_place_in_every_order(ledger: Ledger) -> None:
    rows = list(task_rows(20, even=True, span=SPAN))
    insert_tasks(ledger, rows)
    for order in EVERY_ORDER:
        every = expected_ids(rows, TaskQuery(order=order))
        with ledger.read() as tx:
            assert [task.id for task in list_tasks(tx, TaskQuery(order=order, after=every[8]))] == every[9:]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the Ärger", True),
        ("ärger THE", True),
        ("A\u0308RGER", True),
        ('"the" OR -nothing', False),
        ("the* (", True),
        ("it's", True),
        ("s'it", True),
        ("mended", False),
        ("don%", False),
        ("straße", True),
        ("STRASSE", True),
        ("'; DROP TABLE tasks; --", False),
        ("%", False),
        ("   ", True),
        ("snake case", True),
    ],
)
def test_words_are_found_whatever_stands_around_them(ledger: Ledger, text: str, *, found: bool) -> None:
    (row,) = task_rows(1)
    insert_tasks(ledger, [{**row, "title": "It's the ÄRGER, in Straße snake_case\x00!"}])
    with ledger.read() as tx:
        assert bool(read_ids(query_runner(tx), TaskQuery(text=text))[0]) is found


def test_forgotten_words_find_nothing(ledger: Ledger) -> None:
    rows = list(task_rows(3))
    insert_tasks(ledger, rows)
    with ledger.write() as tx:
        wordlist.forget(tx, [rows[0]["id"], "t-none"])
        assert len(list_tasks(tx, TaskQuery(text="task"))) == 2
        assert len(list_tasks(tx)) == 3


def test_ids_are_completed_youngest_first(ledger: Ledger) -> None:
    rows = list(task_rows(5, span=SPAN))
    insert_tasks(ledger, rows)
    with ledger.read() as tx:
        assert read_ids_like(query_runner(tx), "t", 3) == [row["id"] for row in reversed(rows)][:3]
        assert read_ids_like(query_runner(tx), rows[1]["id"][:-1], 3) == [rows[1]["id"]]
        assert read_ids_like(query_runner(tx), "x", 3) == []


def test_an_error_of_the_driver_is_told_as_the_ledgers(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="nowhere"), ledger.read() as tx:
        query_runner(tx).run("SELECT 1 FROM nowhere", {})


# ── Plans of queries ───────────────────────────────────────────────────────────────────────────────────────────────

WEEK = START + timedelta(days=3)
FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "status": {"statuses": ("failed",)},
    "statuses": {"statuses": ("ready", "running", "failed")},
    "repository": {"repository": "acme/repo1"},
    "repository+status": {"repository": "acme/repo1", "statuses": ("failed",)},
    "kind": {"kinds": ("manual",)},
    "kind+status": {"kinds": ("manual",), "statuses": FINAL_STATUSES},
    "cause": {"causes": ("timeout",)},
    "cause+repository": {"causes": ("timeout",), "repository": "acme/repo1"},
    "created": {"created_since": WEEK, "created_until": WEEK + timedelta(days=1)},
    "created+status": {"created_since": WEEK, "statuses": ("failed",)},
    "ended": {"ended_since": WEEK},
    "ended+repository": {"ended_until": WEEK, "repository": "acme/repo1"},
    "text": {"text": "parser"},
    "text, two words": {"text": "fix parser"},
    "text+repository": {"text": "task", "repository": "acme/repo1"},
    "text+status": {"text": "task", "statuses": ("running",)},
}


@pytest.fixture
def explained(ledger: Ledger) -> Callable[[TaskQuery], list[str]]:
    """The lines of the plans of all statements that a page asks for."""
    insert_tasks(ledger, list(task_rows(20_000 if not ledger.is_sqlite else 500, span=SPAN)))
    if not ledger.is_sqlite:
        with ledger.write() as tx:
            tx.connection.exec_driver_sql("ANALYZE tasks")
            tx.connection.exec_driver_sql("ANALYZE task_words")

    def explain(query: TaskQuery) -> list[str]:
        lines: list[str] = []
        prefix = "EXPLAIN QUERY PLAN" if ledger.is_sqlite else "EXPLAIN"
        with ledger.read() as tx:
            plain = query_runner(tx)

            def run(sql: str, values: Any) -> Any:
                if "names" not in sql:
                    lines.extend(str(list(row.values())[-1]) for row in plain.run(f"{prefix} {sql}", values))
                return plain.run(sql, values)

            read_ids(replace(plain, run=run), query, counted=5000, at_most_sorted=1)
        return lines

    return explain


def test_every_filter_and_order_reads_along_an_index(
    ledger: Ledger, explained: Callable[[TaskQuery], list[str]]
) -> None:
    wrong: list[str] = []
    for name, wanted in FILTERS.items():
        for order in EVERY_ORDER:
            lines = explained(TaskQuery(order=order, **wanted))
            assert lines
            for line in lines:
                if ledger.is_sqlite:
                    scan = line.startswith("SCAN") and "INDEX" not in line and "SUBQUERY" not in line
                    bad = (scan and not line.startswith(("SCAN c", "SCAN b"))) or (
                        "TEMP B-TREE" in line and not (order is SortOrder.CHANGED and "text" in name)
                    )
                else:
                    bad = "Seq Scan" in line
                if bad:
                    wrong.append(f"{name}, {order}: {line}")
    assert not wrong


@pytest.mark.parametrize("statuses", [(), ("failed",)])
def test_what_changed_after_its_end_is_found_among_those_that_did_not(
    ledger: Ledger, statuses: tuple[str, ...]
) -> None:
    rows = list(task_rows(300, span=SPAN))
    for row in rows[::3]:
        row["updated_at"] += timedelta(days=1)
    insert_tasks(ledger, rows)
    query = TaskQuery(ended_until=WEEK + timedelta(days=2), statuses=statuses, order=SortOrder.CHANGED)
    expected = expected_ids(rows, query)
    late = {row["id"] for row in rows[::3]}
    assert late & set(expected)
    assert set(expected) - late
    with ledger.read() as tx:
        assert all_pages(tx, replace(query, limit=9)) == expected


def test_the_last_changed_of_those_that_ended_long_ago_are_not_searched_from_the_newest_on(
    explained: Callable[[TaskQuery], list[str]],
) -> None:
    plan = "\n".join(explained(TaskQuery(ended_until=WEEK, order=SortOrder.CHANGED)))
    assert "ix_tasks_ended_at_id_priority_created_at" in plan
    assert "ix_tasks_changed_later" in plan
    assert "ix_tasks_updated_at_id" not in plan
