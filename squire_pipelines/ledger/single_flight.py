"""Work that one process at a time does: of a home by a file's lock, on Postgres of all machines by an advisory lock."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from squire_pipelines.files import lock
from squire_pipelines.ledger.store import Ledger, advisory_key


@contextmanager
def single_flight(ledger: Ledger, name: str, path: Path) -> Iterator[None]:
    """Keep other processes from the same work until the block ends. Whoever dies gives it up.

    Args:
        ledger: That the machines share, if it is on Postgres.
        name: Of the work.
        path: The file whose lock keeps apart the processes of this home.

    Raises:
        TimeoutError: Another process does it.
        LedgerError: The ledger does not answer.
    """
    with lock(path):
        if ledger.is_sqlite:
            yield
            return
        with ledger.session() as connection:
            taken = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": advisory_key(name)})
            if not taken.scalar_one():
                raise TimeoutError
            try:
                yield
            finally:
                # At once: the server notices the end of a connection when it comes to it. One that broke has none left.
                with suppress(DBAPIError):
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": advisory_key(name)})
