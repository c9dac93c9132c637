"""Whose fault it is when a delivery cannot be applied."""

import sqlite3

import pytest
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from squire_pipelines.errors import ConfigError, LedgerError, NotFoundError, StateConflictError
from squire_pipelines.webhooks.applying import is_data


def guarded(error: Exception) -> LedgerError:
    """Return an error as a transaction of the ledger raises it."""
    named = LedgerError("the ledger refuses a statement")
    named.__cause__ = error
    return named


LOCKED = OperationalError(None, None, sqlite3.OperationalError("database is locked"))
REFUSED = DataError(None, None, Exception("a string literal cannot contain NUL"))
LOST = DataError(None, None, Exception("gone"), connection_invalidated=True)


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        AttributeError("x"),
        RecursionError(),
        ValueError("x"),
        NotFoundError("there is no task of it"),
        StateConflictError("a task cannot go from ready to ready"),
        IntegrityError(None, None, Exception("unique")),
        REFUSED,
        guarded(REFUSED),
    ],
)
def test_what_a_delivery_raises_is_its_own(error: Exception) -> None:
    assert is_data(error)


@pytest.mark.parametrize(
    "error",
    [
        LOCKED,
        guarded(LOCKED),
        LOST,
        guarded(LOST),
        LedgerError("it is damaged"),
        ConfigError("no token"),
        TimeoutError(),
        OSError("disk"),
    ],
)
def test_a_ledger_or_a_machine_that_fails_is_no_deliverys_fault(error: Exception) -> None:
    assert not is_data(error)
