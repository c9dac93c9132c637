"""Whose fault it is when a delivery cannot be applied, and which deliveries keep their order."""

import json
import sqlite3
from typing import Any

import pytest
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from squire_pipelines.errors import ConfigError, LedgerError, NotFoundError, StateConflictError
from squire_pipelines.github.events import parse_delivery
from squire_pipelines.webhooks.applying import is_data, subjects_of


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


PULL = {
    "number": 8,
    "html_url": "https://github.test/acme/shop/pull/8",
    "state": "closed",
    "updated_at": "2026-03-01T12:00:00Z",
    "merged_at": "2026-03-01T12:00:00Z",
    "body": "Reverts acme/shop#7",
    "head": {"ref": "revert-7", "sha": "c" * 40},
    "base": {"ref": "main"},
}
CHECK = {"head_sha": "a" * 40, "conclusion": "failure", "pull_requests": [{"number": 7}]}


@pytest.mark.parametrize(
    ("event", "content", "subjects"),
    [
        ("pull_request", {"action": "closed", "pull_request": PULL}, {"acme/shop#8", "acme/shop#7"}),
        ("check_run", {"action": "completed", "check_run": CHECK}, {f"acme/shop@{'a' * 40}", "acme/shop#7"}),
        ("push", {"ref": "refs/heads/main"}, {"acme/shop:main"}),
        ("repository", {"action": "archived"}, {"repository acme/shop"}),
        ("installation", {"action": "deleted", "installation": {"account": {"login": "acme"}}}, {"installation acme"}),
        ("issues", {"action": "opened"}, set()),
    ],
)
def test_deliveries_about_the_same_are_applied_in_their_order(
    event: str, content: dict[str, Any], subjects: set[str]
) -> None:
    body = json.dumps({"repository": {"id": 1, "full_name": "acme/shop"}, **content}).encode()
    assert subjects_of(parse_delivery(event, body)) == subjects
