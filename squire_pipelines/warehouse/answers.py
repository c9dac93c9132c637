"""What a query gives, wherever it runs: rows that are read in parts. Without DuckDB, which takes a while to import."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from squire_pipelines.errors import QueryError

MEMORY_LIMIT = 512 * 2**20
TIMEOUT_S = 30.0
BATCH = 1000
"""Rows of a result that are in our own memory at once."""


class Answer(ABC):
    """A query's result. `types` are DuckDB's names of the columns' types."""

    columns: tuple[str, ...]
    types: tuple[str, ...]

    @abstractmethod
    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """Return the next rows, at most `count`; none at the end. Raises QueryError."""

    def batches(self, limit: int | None = None) -> Iterator[list[tuple[Any, ...]]]:
        """Yield all rows, or the first `limit` of them, `BATCH` at a time. Raises QueryError."""
        remaining = limit
        while remaining is None or remaining > 0:
            rows = self.fetch(BATCH if remaining is None else min(BATCH, remaining))
            if not rows:
                return
            yield rows
            remaining = None if remaining is None else remaining - len(rows)


def in_utc(value: Any) -> Any:
    """Return the value with its times in UTC, those in lists and structures too."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    if isinstance(value, list | tuple):
        return type(value)(in_utc(member) for member in value)
    if isinstance(value, dict):
        return {in_utc(key): in_utc(member) for key, member in value.items()}
    return value


def too_slow(timeout_s: float) -> QueryError:
    """Return the error of a query whose time is over."""
    return QueryError(f"the query took longer than {timeout_s:g} s", hint="narrow it down, or allow it more time")


def too_large() -> QueryError:
    """Return the error of a query whose memory is full, or whose rows are too long to be handed on."""
    return QueryError(
        "the query needs more memory than it may have", hint="narrow it down: aggregate, or name fewer columns"
    )
