import csv
import io

from squire_pipelines.cli.history import unique_names
from tests.support.cli import Books, Squire


def test_what_was_published_can_be_asked(squire: Squire, books: Books) -> None:
    books.task("Mend, \x1b[31mit")
    assert "published" in squire.ok("history", "publish")
    assert "Mend, it" in squire.ok("history", "sql", "select title from tasks")
    query = "select status, title, 1 as status, null as nothing from tasks"
    (row,) = squire.json("history", "sql", query)
    assert row == {"status": "ready", "title": "Mend, \x1b[31mit", "status_2": 1, "nothing": None}
    (header, line) = csv.reader(io.StringIO(squire.ok("history", "sql", "--csv", "-", stdin=query)))
    assert header == ["status", "title", "status_2", "nothing"]
    assert line == ["ready", "Mend, \x1b[31mit", "1", ""]


def test_an_answer_that_was_cut_says_so(squire: Squire, books: Books) -> None:
    assert books
    squire.ok("history", "publish")
    result = squire("history", "sql", "select * from range(5)", "--limit", "3", "--json")
    assert "there are more rows than 3" in result.stderr


def test_a_query_that_is_wrong_or_forbidden_is_2(squire: Squire, books: Books) -> None:
    assert books
    squire.ok("history", "publish")
    for query in ("select nonsense", "drop table tasks", "select * from '/etc/passwd'", "", "select 1; select 2"):
        assert "error:" in squire.fails(2, "history", "sql", query)
    assert "exclude each other" in squire.fails(2, "history", "sql", "select 1", "--csv", "--json")


def test_a_warehouse_that_is_not_there_yet_is_told(squire: Squire) -> None:
    assert "squire history publish" in squire.fails(1, "history", "sql", "select 1")
    result = squire("history", "path")
    assert result.stdout.strip() == str(squire.home / "warehouse.duckdb")
    assert "not been published yet" in result.stderr


def test_columns_named_twice_keep_their_values() -> None:
    assert unique_names(["a", "a", "b", "a"]) == ["a", "a_2", "b", "a_3"]
