"""Compiles statements that run all the time only once, since that takes longer than SQLite needs to run them."""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Table, Update, bindparam, insert

MAX_ROWS = 500
"""The most rows of one statement: SQLite takes 32,766 parameters, and a table of ours has less than fifty columns."""

_Processor = Callable[[Any], Any]
_ROW = re.compile(r"VALUES (\((?:\?, )*\?\))")


class PreparedWrite:
    """A statement that writes, with named parameters.

    On SQLite it goes straight to the driver, whose errors `Ledger` explains like all others.
    """

    def __init__(self, statement: Insert | Update | Delete) -> None:
        self.statement = statement
        self._sql = ""
        self._parameters: tuple[tuple[str, _Processor | None], ...] = ()
        self._sql_by_rows: dict[int, str] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run the statement with `values`, and return how many rows it wrote."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self.statement, values).rowcount
        if not self._sql:
            self._compile(connection)
        row = [values[name] if to is None else to(values[name]) for name, to in self._parameters]
        driver: Any = connection.connection.dbapi_connection
        return int(driver.execute(self._sql, row).rowcount)

    def run_all(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        """Run an insert for many rows, by one statement for each `MAX_ROWS` of them, and return what it returns.

        On SQLite one statement is one call of the driver, and each call of the driver lets other threads go first.
        """
        if not rows:
            return []
        if connection.dialect.name != "sqlite":
            result = connection.execute(self.statement, list(rows))
            return [tuple(row) for row in result] if result.returns_rows else []
        if not self._sql:
            self._compile(connection)
        driver: Any = connection.connection.dbapi_connection
        returned: list[tuple[Any, ...]] = []
        for start in range(0, len(rows), MAX_ROWS):
            part = rows[start : start + MAX_ROWS]
            values = [row[name] if to is None else to(row[name]) for row in part for name, to in self._parameters]
            returned += driver.execute(self._sql_of_rows(len(part)), values).fetchall()
        return returned

    def _sql_of_rows(self, count: int) -> str:
        if count not in self._sql_by_rows:
            match = _ROW.search(self._sql)
            if match is None:
                raise TypeError("only an insert of plain values can have many rows")
            groups = ", ".join([match[1]] * count)
            self._sql_by_rows[count] = f"{self._sql[: match.start(1)]}{groups}{self._sql[match.end(1) :]}"
        return self._sql_by_rows[count]

    def _compile(self, connection: Connection) -> None:
        dialect = connection.dialect
        compiled: Any = self.statement.compile(dialect=dialect)
        types = {name: bind.type for bind, name in compiled.bind_names.items()}
        self._parameters = tuple(
            (name, types[name].dialect_impl(dialect).bind_processor(dialect)) for name in compiled.positiontup
        )
        self._sql = str(compiled)


class NewRows:
    """Rows of a table with values for the same columns, added at once.

    On Postgres they are copied (https://www.postgresql.org/docs/current/sql-copy.html), which checks what an INSERT
    checks: the server and the driver need a fifth of the time for each row, and none waits for the answer to the one
    before. On SQLite they are one statement for each `MAX_ROWS`.
    """

    def __init__(self, table: Table, names: Sequence[str]) -> None:
        self._columns = tuple(table.c[name] for name in names)
        self._table = table
        self._insert = PreparedWrite(insert(table).values({name: bindparam(name) for name in names}).inline())
        self._processors: tuple[tuple[str, _Processor | None], ...] = ()

    def add(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add the rows, in their order."""
        if connection.dialect.name == "sqlite":
            self._insert.run_all(connection, rows)
            return
        if not rows:
            return
        dialect = connection.dialect
        if not self._processors:
            self._processors = tuple(
                (column.name, column.type.dialect_impl(dialect).bind_processor(dialect)) for column in self._columns
            )
        quote = dialect.identifier_preparer.quote
        names = ", ".join(quote(column.name) for column in self._columns)
        driver: Any = connection.connection.dbapi_connection
        with driver.cursor() as cursor, cursor.copy(f"COPY {quote(self._table.name)} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row([_plain(row[name], to) for name, to in self._processors])


def _plain(value: Any, process: _Processor | None) -> Any:
    """Return a value as the driver takes it."""
    stored = value if process is None else process(value)
    return stored.value if isinstance(stored, Enum) else stored
