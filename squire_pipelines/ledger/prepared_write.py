"""Compiles statements that run all the time only once, since that takes longer than SQLite needs to run them."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Update

_Processor = Callable[[Any], Any]


class PreparedWrite:
    """A statement that writes, with named parameters, and returns nothing but the number of rows.

    On SQLite it goes straight to the driver, whose errors `Ledger` explains like all others.
    """

    def __init__(self, statement: Insert | Update | Delete) -> None:
        self.statement = statement
        self._sql = ""
        self._parameters: tuple[tuple[str, _Processor | None], ...] = ()

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run the statement with `values`, and return how many rows it wrote."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self.statement, values).rowcount
        if not self._sql:
            self._compile(connection)
        row = [values[name] if to is None else to(values[name]) for name, to in self._parameters]
        driver: Any = connection.connection.dbapi_connection
        return int(driver.execute(self._sql, row).rowcount)

    def _compile(self, connection: Connection) -> None:
        dialect = connection.dialect
        compiled: Any = self.statement.compile(dialect=dialect)
        types = {name: bind.type for bind, name in compiled.bind_names.items()}
        self._parameters = tuple(
            (name, types[name].dialect_impl(dialect).bind_processor(dialect)) for name in compiled.positiontup
        )
        self._sql = str(compiled)
