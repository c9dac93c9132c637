"""Looks at Dagster's storage on Postgres, and removes the rows that nobody reads, for which its API has no call.

The twin of `dagster_files` for many machines; see docs/decisions/0082-dagsters-history-is-purged.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from squire_pipelines.upkeep.dagster_files import MAX_ROUNDS

_ROWS_AT_ONCE = 2_000
_CONNECT_S = 10
_STATEMENT_MS = 60_000
_CHECK_OF_NOBODY = """
    create_timestamp < :before AND run_id NOT IN (SELECT run_id FROM runs)
    AND id NOT IN (SELECT max(id) FROM asset_check_executions GROUP BY asset_key, check_name, partition)
"""
_OLD_FRESHNESS = """
    run_id = '' AND timestamp < :before
    AND id NOT IN (SELECT max(id) FROM event_logs WHERE run_id = '' GROUP BY asset_key, dagster_event_type)
"""


def count_runs(url: str) -> int:
    """Return how many runs there are in the storage at `url`. Raises SQLAlchemyError."""
    with _connected(url) as connection:
        return int(connection.execute(text("SELECT count(*) FROM runs")).scalar_one())


def delete_rows_of_nobody(url: str, *, before: datetime) -> dict[str, int]:
    """Delete results of asset checks whose run is gone, and old states of freshness; the newest of each stay.

    Raises:
        SQLAlchemyError: The server does not answer, or refuses it.
    """
    rules = {"asset_check_executions": _CHECK_OF_NOBODY, "event_logs": _OLD_FRESHNESS}
    with _connected(url) as connection:
        return {table: _delete(connection, table, rule, before) for table, rule in rules.items()}


def _delete(connection: Connection, table: str, condition: str, before: datetime) -> int:
    """Delete rows a few at a time, since Dagster's processes wait meanwhile."""
    some = f"SELECT id FROM {table} WHERE {condition} LIMIT {_ROWS_AT_ONCE}"  # noqa: S608 - names of our own
    statement = text(f"DELETE FROM {table} WHERE id IN ({some})")  # noqa: S608 - likewise
    deleted = 0
    for _ in range(MAX_ROUNDS):
        count = connection.execute(statement, {"before": before.replace(tzinfo=None)}).rowcount
        deleted += count
        if count < _ROWS_AT_ONCE:
            break
    return deleted


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """Open a connection on which each statement is a transaction of its own."""
    engine = create_engine(
        url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": _CONNECT_S}
    )
    try:
        with engine.connect() as connection:
            connection.execute(text(f"SET statement_timeout = {_STATEMENT_MS}"))
            yield connection
    finally:
        engine.dispose()
