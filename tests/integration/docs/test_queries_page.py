"""Every query of the page on queries is one that a filled warehouse answers, with the columns of its example."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.warehouse.export import BEGIN_COLUMNS
from squire_pipelines.warehouse.publish import publish_warehouse
from squire_pipelines.warehouse.query import run_query
from squire_pipelines.warehouse.schema import DERIVED, METRICS, TABLES
from tests.support.ledgers import new_sqlite_ledger
from tests.support.years import fill

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "guide" / "queries.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
QUESTIONS = re.findall(r"^### (\d+)\. (.+?\?)\n\n```sql\n(.*?)```\n\n\|(.+?)\|\n", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("warehouse")
    ledger = new_sqlite_ledger(folder / "ledger.sqlite")
    fill(ledger, days=20, tasks=150)
    publish_warehouse(ledger, folder / "warehouse.duckdb", WarehouseSettings(memory_limit=256 * 2**20))
    yield folder / "warehouse.duckdb"
    ledger.close()


@pytest.mark.parametrize("query", QUERIES, ids=[query.split("\n")[0][:60] for query in QUERIES])
def test_every_query_of_the_page_is_answered_with_rows(warehouse: Path, query: str) -> None:
    result = run_query(warehouse, query)
    assert result.columns
    assert result.rows


@pytest.mark.parametrize(
    ("number", "question", "query", "header"), QUESTIONS, ids=[question for _, question, *_ in QUESTIONS]
)
def test_the_example_has_the_answers_columns(
    warehouse: Path, number: str, question: str, query: str, header: str
) -> None:
    assert number
    assert question
    assert tuple(name.strip() for name in header.split("|")) == run_query(warehouse, query).columns


def test_the_questions_are_numbered_and_none_is_malformed() -> None:
    assert [int(number) for number, *_ in QUESTIONS] == list(range(1, PAGE.count("\n### ") + 1))


def test_the_page_names_every_table_and_every_view() -> None:
    named = re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE)
    assert sorted(named) == sorted(
        [*TABLES, *DERIVED, *METRICS, "targets", "repository_targets", "held_back", "repositories"]
    )


def test_every_table_with_a_history_can_be_exported() -> None:
    assert set(BEGIN_COLUMNS) == {*TABLES, *DERIVED}


def test_every_column_of_the_warehouse_has_a_comment_as_the_page_says(warehouse: Path) -> None:
    bare = run_query(
        warehouse,
        "SELECT table_name, column_name FROM duckdb_columns() WHERE comment IS NULL AND NOT internal "
        "AND NOT starts_with(table_name, '_')",
    )
    assert not bare.rows
