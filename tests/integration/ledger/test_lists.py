from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, text, update

from squire_pipelines.errors import LedgerError, NotFoundError
from squire_pipelines.ledger.list_sql import read_ids
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import tasks
from squire_pipelines.ledger.task_query import FINAL_STATUSES, KINDS, STATUSES, PagePositionError, SortOrder, TaskQuery
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
    ids, after = read_ids(tx.query_runner(), query, **bounds)
    pages = 1
    while after is not None and pages < 400:
        page, after = read_ids(tx.query_runner(), replace(query, after=after), **bounds)
        assert page
        ids += page
        pages += 1
    return ids


def test_paging_through_any_filter_and_order_gives_each_task_once_in_order(ledger: Ledger) -> None:
    rows = list(task_rows(250, even=True, span=SPAN))
    insert_tasks(ledger, rows)

    @settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(query=QUERIES, probed=st.sampled_from((1, 40, 1_000)), max_sorted=st.sampled_from((1, 40, 50_000)))
    def check(query: TaskQuery, probed: int, max_sorted: int) -> None:
        query = replace(query, limit=max(query.limit, 5))
        with ledger.read() as tx:
            assert all_pages(tx, query, probed=probed, max_sorted=max_sorted) == expected_ids(rows, query)

    check()


@pytest.mark.parametrize("order", EVERY_ORDER)
def test_tasks_added_between_two_pages_move_none_of_the_others(ledger: Ledger, order: SortOrder) -> None:
    rows = list(task_rows(120, even=True, span=SPAN))
    early, late = rows[::2], rows[1::2]
    insert_tasks(ledger, early)
    query = TaskQuery(order=order, limit=7)
    ids: list[str] = []
    after = None
    while True:
        with ledger.read() as tx:
            page, after = read_ids(tx.query_runner(), replace(query, after=after))
        ids += page
        if after is None:
            break
        insert_tasks(ledger, late[:3])
        late = late[3:]
    assert len(ids) == len(set(ids))
    assert {row["id"] for row in early} <= set(ids)


def test_a_page_goes_on_though_its_last_task_was_deleted(ledger: Ledger) -> None:
    rows = list(task_rows(10, even=True, span=SPAN))
    insert_tasks(ledger, rows)
    with ledger.write() as tx:
        first, after = read_ids(tx.query_runner(), TaskQuery(limit=4))
        tx.execute(delete(tasks).where(tasks.c.id == first[-1]))
        rest, end = read_ids(tx.query_runner(), TaskQuery(limit=10, after=after))
    assert first + rest == expected_ids(rows, TaskQuery())
    assert end is None


def test_a_place_of_another_order_is_refused(ledger: Ledger) -> None:
    insert_tasks(ledger, list(task_rows(5, even=True, span=SPAN)))
    with ledger.read() as tx:
        _, after = read_ids(tx.query_runner(), TaskQuery(limit=2, order=SortOrder.PRIORITY))
        for bad in (after, "t1@yesterday", "t1@2026-03-01@x"):
            with pytest.raises(PagePositionError, match="no place in a list by newest"):
                read_ids(tx.query_runner(), TaskQuery(after=bad))
        with pytest.raises(NotFoundError, match="'t1'"):
            read_ids(tx.query_runner(), TaskQuery(after="t1"))


def test_a_bare_id_is_a_place_in_every_order(ledger: Ledger) -> None:
    rows = list(task_rows(20, even=True, span=SPAN))
    insert_tasks(ledger, rows)
    for order in EVERY_ORDER:
        every = expected_ids(rows, TaskQuery(order=order))
        with ledger.read() as tx:
            assert read_ids(tx.query_runner(), TaskQuery(order=order, after=every[8]))[0] == every[9:]


@pytest.mark.parametrize(
    ("text", "is_match"),
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
def test_words_are_found_whatever_stands_around_them(ledger: Ledger, text: str, *, is_match: bool) -> None:
    (row,) = task_rows(1)
    insert_tasks(ledger, [{**row, "title": "It's the ÄRGER, in Straße snake_case\x00!"}])
    with ledger.read() as tx:
        assert bool(read_ids(tx.query_runner(), TaskQuery(text=text))[0]) is is_match


@pytest.mark.slow
def test_text_is_never_syntax_and_finds_what_the_same_words_in_a_title_say(ledger: Ledger) -> None:
    titles = (
        "Task one",
        "words AND OR NOT NEAR",
        'a "quoted" title',
        "id_hex: 74 words: x*",
        "^start {col} : (x)",
        "'&|!:*",
    )
    rows = [{**row, "title": title} for row, title in zip(task_rows(len(titles)), titles, strict=True)]
    insert_tasks(ledger, rows)
    signs = st.sampled_from("\"*^:(){}+-'&|!<>%_\\,;@#\x00\ud800\u0345\u017fßẞİ½Ⅷ\U0001e900")
    pieces = st.sampled_from(
        ("words", "AND", "OR", "NOT", "NEAR", "NEAR(a b, 2)", "id_hex", "task", "quoted", "74", "x")
    )
    hostile = st.lists(signs | pieces | st.text(max_size=5), max_size=6).map("".join)

    @settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(text=hostile | hostile.map(lambda text: text.replace(" ", "")), probed=st.sampled_from((1, 1_000)))
    def check(text: str, probed: int) -> None:
        query = TaskQuery(text=text)
        with ledger.read() as tx:
            assert read_ids(tx.query_runner(), query, probed=probed)[0] == expected_ids(rows, query)

    check()


@pytest.mark.parametrize("probed", [1, 1_000])
def test_the_index_of_words_follows_its_tasks(ledger: Ledger, probed: int) -> None:
    rows = list(task_rows(3))
    first, second = rows[0]["id"], rows[1]["id"]
    rows[2]["id"] = odd = "an id\"with' signs -*"[:32]
    insert_tasks(ledger, rows)

    def search(tx: Transaction, text: str) -> set[str]:
        return set(read_ids(tx.query_runner(), TaskQuery(text=text), probed=probed)[0])

    with ledger.write() as tx:
        assert search(tx, "task") == {first, second, odd}
        tx.execute(delete(tasks).where(tasks.c.id == first))
        tx.execute(update(tasks).where(tasks.c.id == odd).values(title="Renamed", title_words="renamed"))
        assert search(tx, "task") == {second}
        assert search(tx, "renamed") == {odd}
        tx.execute(delete(tasks).where(tasks.c.id == odd))
        assert search(tx, "renamed") == set()
        if ledger.is_sqlite:
            assert tx.execute(text("SELECT task_id FROM task_search")).scalars().all() == [second]
            tx.execute(text("INSERT INTO task_search (task_search) VALUES ('integrity-check')"))


def test_an_error_of_the_driver_is_told_as_the_ledgers(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="nowhere"), ledger.read() as tx:
        tx.query_runner().run("SELECT 1 FROM nowhere", {})


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


Plan = Iterator[tuple[str, str]]


@pytest.fixture
def explain(ledger: Ledger) -> Callable[..., Plan]:
    """The statements that a page asks, each with every line of its plan."""
    insert_tasks(ledger, list(task_rows(20_000 if not ledger.is_sqlite else 500, span=SPAN)))
    if not ledger.is_sqlite:
        with ledger.write() as tx:
            tx.connection.exec_driver_sql("ANALYZE tasks")

    def explain(query: TaskQuery, **bounds: int) -> Plan:
        lines: list[tuple[str, str]] = []
        prefix = "EXPLAIN QUERY PLAN" if ledger.is_sqlite else "EXPLAIN"
        with ledger.read() as tx:
            plain = tx.query_runner()

            def run(sql: str, values: Any) -> Any:
                if "names" not in sql:
                    lines.extend((sql, str(list(row.values())[-1])) for row in plain.run(f"{prefix} {sql}", values))
                return plain.run(sql, values)

            read_ids(replace(plain, run=run), query, **bounds)
        return iter(lines)

    return explain


def test_every_filter_and_order_reads_along_an_index(ledger: Ledger, explain: Callable[..., Plan]) -> None:
    wrong: list[str] = []
    for name, filters in FILTERS.items():
        for order in EVERY_ORDER:
            plan = list(explain(TaskQuery(order=order, **filters), probed=20, max_sorted=1))
            assert plan
            for sql, line in plan:
                if ledger.is_sqlite:
                    is_scan = line.startswith("SCAN") and "INDEX" not in line
                    scans = is_scan and not line.startswith(("SCAN c", "SCAN p", "SCAN (subquery"))
                    # Only the first tasks of a list, whose number is bounded, are ever sorted.
                    is_bad = scans or ("TEMP B-TREE" in line and "OVER ()" not in sql)
                else:
                    is_bad = "Seq Scan" in line
                if is_bad:
                    wrong.append(f"{name}, {order}: {line}")
    assert not wrong


def test_a_rare_word_is_read_along_the_index_of_words(ledger: Ledger, explain: Callable[..., Plan]) -> None:
    plan = "\n".join(line for _, line in explain(TaskQuery(text="parser 17"), probed=20))
    assert ("SCAN s VIRTUAL TABLE INDEX" if ledger.is_sqlite else "Bitmap Index Scan on ix_tasks_title_words") in plan


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
    ledger: Ledger, explain: Callable[..., Plan]
) -> None:
    plan = "\n".join(line for _, line in explain(TaskQuery(ended_until=WEEK, order=SortOrder.CHANGED)))
    bound = "updated_at<?" if ledger.is_sqlite else "Index Cond: (updated_at < "
    assert bound in plan
    assert "ix_tasks_changed_later" in plan
