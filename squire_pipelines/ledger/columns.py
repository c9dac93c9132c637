"""Types, names and checks that all tables of the ledger share; both kinds of database store the types alike."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Dialect, Integer, MetaData, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from squire_pipelines.domain.moments import moment_text

_UNSTORABLE = re.compile("[\\x00\\ud800-\\udfff]")


def clean_text(text: str) -> str:
    """Return text in which each character that a database cannot store is U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC: `timestamptz` on Postgres, on SQLite text of fixed width, which sorts as time does."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type for text where the database has none for times."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(27))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Convert to UTC; naive datetimes are refused, since nobody could say what they mean."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive datetime cannot be stored: {value!r}")
        return moment_text(value) if dialect.name == "sqlite" else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the library's signature
        """Return an aware datetime in UTC."""
        if value is None:
            return None
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.astimezone(UTC)


class CleanText(TypeDecorator[str]):
    """Text from outside (log lines, titles, messages). What a database cannot store becomes U+FFFD.

    Postgres refuses NUL, and no encoder takes half a surrogate pair: they must not make the end of an attempt fail.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the library's signature
        """Replace what cannot be stored."""
        return None if value is None else clean_text(value)


RowId = BigInteger().with_variant(Integer(), "sqlite")
"""The number of a row that is given out by the table: 64 bits. SQLite's are, and only of an INTEGER it makes them."""


def names_in_sql(values: Iterable[str]) -> str:
    """Return words of ours as a list of SQL's literals."""
    return ", ".join(f"'{value}'" for value in values)


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """Return the check that a column holds one of these words."""
    return CheckConstraint(f"{column} IN ({names_in_sql(values)})", name=f"{column}_known")


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
