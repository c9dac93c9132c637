"""Every query of the page on queries is one that the warehouse answers."""

import re
from pathlib import Path

import pytest

from squire_pipelines.ledger.store import open_ledger
from squire_pipelines.warehouse.publish import publish
from squire_pipelines.warehouse.query import run_query
from squire_pipelines.warehouse.schema import METRICS, TABLES

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "guide" / "queries.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warehouse")
    ledger = open_ledger(f"sqlite:///{folder / 'ledger.sqlite'}")
    try:
        publish(ledger, folder / "warehouse.duckdb", memory_limit=256 * 2**20)
    finally:
        ledger.close()
    return folder / "warehouse.duckdb"


@pytest.mark.parametrize("query", QUERIES, ids=[query.split("\n")[0][:60] for query in QUERIES])
def test_every_query_of_the_page_is_answered(warehouse: Path, query: str) -> None:
    assert run_query(warehouse, query).columns


def test_the_page_names_every_table_and_every_view() -> None:
    named = re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE)
    assert sorted(named) == sorted([*TABLES, *METRICS])


def test_every_column_of_the_warehouse_has_a_comment_as_the_page_says(warehouse: Path) -> None:
    bare = run_query(
        warehouse,
        f"SELECT table_name, column_name FROM duckdb_columns() "  # noqa: S608 - the names are our own
        f"WHERE comment IS NULL AND table_name IN ({', '.join(repr(name) for name in TABLES)})",
    )
    assert not bare.rows
