"""Whether another database can store a row as it is: Postgres has bounds that SQLite does not look at."""

from typing import Any

from sqlalchemy import BigInteger, Integer, String, Table

from squire_pipelines.errors import RefusedError
from squire_pipelines.ledger.columns import clean_text

_MOST_INTEGER = 2**31 - 1


class Storable:
    """Looks at rows before they are written.

    Args:
        is_postgres: Whether they go to Postgres; SQLite takes all that there is.
        replaces_signs: Whether U+FFFD takes the place of signs that cannot be stored.
    """

    def __init__(self, *, is_postgres: bool, replaces_signs: bool) -> None:
        self._is_postgres = is_postgres
        self._replaces = replaces_signs
        self.changed = 0

    def make_storable(self, table: Table, rows: list[dict[str, Any]]) -> None:
        """Replace signs where that is wanted. Raises RefusedError for what cannot be stored, by its row and column."""
        if not self._is_postgres:
            return
        for row in rows:
            for name, value in row.items():
                if isinstance(value, str):
                    self._check_text(table, row, name, value)
                elif isinstance(value, int) and not -_MOST_INTEGER - 1 <= value <= _MOST_INTEGER:
                    kind = table.c[name].type
                    if isinstance(kind, Integer) and not isinstance(kind, BigInteger):
                        raise _refused(table, row, name, f"is {value}, and Postgres takes up to {_MOST_INTEGER} there")

    def _check_text(self, table: Table, row: dict[str, Any], name: str, value: str) -> None:
        if "\x00" in value:
            if not self._replaces:
                raise _refused(
                    table, row, name, "has the sign NUL, which Postgres cannot store",
                    hint="add --replace-signs, which writes U+FFFD in its place",
                )  # fmt: skip
            row[name] = value = clean_text(value)
            self.changed += 1
        kind = table.c[name].type
        if isinstance(kind, String) and kind.length is not None and len(value) > kind.length:
            reason = f"has {len(value)} signs, and Postgres takes up to {kind.length} there"
            raise _refused(table, row, name, reason)


def _refused(table: Table, row: dict[str, Any], name: str, reason: str, *, hint: str = "") -> RefusedError:
    keys = ", ".join(f"{column.name} {row[column.name]!r:.80}" for column in table.primary_key.columns)
    return RefusedError(
        f"{table.name}.{name} of the row with {keys} {reason}",
        hint=f"{hint or 'change it, or delete its row'}; nothing was changed",
    )
