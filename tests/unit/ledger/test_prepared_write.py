"""Statements that are compiled once, on SQLite's driver itself."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, bindparam, create_engine
from sqlalchemy.dialects import sqlite

from squire_pipelines.ledger.prepared_write import MAX_ROWS, PreparedWrite

NAMES = Table("names", MetaData(), Column("id", Integer, primary_key=True), Column("name", String, unique=True))
INSERT = sqlite.insert(NAMES).values(name=bindparam("name")).on_conflict_do_nothing(index_elements=["name"])


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        NAMES.create(connection)
        yield connection
    engine.dispose()


def test_an_insert_of_many_rows_returns_what_it_returns_of_all_its_statements(connection: Connection) -> None:
    write = PreparedWrite(INSERT.returning(NAMES.c.name, NAMES.c.id))
    names = [f"name {number}" for number in range(2 * MAX_ROWS + 1)]
    assert write.run_all(connection, [{"name": name} for name in names]) == [
        (name, number) for number, name in enumerate(names, start=1)
    ]


def test_a_row_that_is_there_already_is_not_among_what_an_insert_returns(connection: Connection) -> None:
    write = PreparedWrite(INSERT.returning(NAMES.c.name, NAMES.c.id))
    assert write.run_all(connection, [{"name": "a"}, {"name": "a"}, {"name": "b"}]) == [("a", 1), ("b", 2)]
    assert write.run_all(connection, [{"name": "b"}]) == []


def test_an_insert_that_returns_nothing_gives_nothing(connection: Connection) -> None:
    assert PreparedWrite(INSERT).run_all(connection, [{"name": "a"}]) == []
    assert PreparedWrite(INSERT).run_all(connection, []) == []
