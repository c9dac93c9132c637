"""Where the doors of attempts are: written by who has the lease, found by anybody, gone at the attempt's end."""

import pytest
from sqlalchemy import select

from squire_pipelines.domain.door_addresses import DoorAddress, RegisteredDoor
from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import LeaseLostError
from squire_pipelines.ledger import adoption, attempt_doors
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempt_doors as table
from tests.support.ledgers import Clock, settle, start_attempt, token_of

HASH = "0" * 64


def door(unit: str, port: int = 4000) -> RegisteredDoor:
    return RegisteredDoor(unit, DoorAddress("10.0.0.7", port), HASH)


def register(ledger: Ledger, attempt: Attempt, entry: RegisteredDoor, token: str | None = None) -> None:
    with ledger.write() as tx:
        attempt_doors.register(tx, entry, attempt.id, token or token_of(attempt))


def find(ledger: Ledger, unit: str) -> RegisteredDoor | None:
    with ledger.read() as tx:
        return attempt_doors.find(tx, unit)


def test_a_door_is_found_by_its_unit_and_has_no_token(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    assert find(ledger, attempt.id) is None
    for entry in (door(attempt.id), door(f"{attempt.id}-checks", 4001), door(attempt.id, 4002)):
        register(ledger, attempt, entry)
        assert find(ledger, entry.unit) == entry
    assert find(ledger, f"{attempt.id}-checks") == door(f"{attempt.id}-checks", 4001)
    with ledger.read() as tx:
        rows = tx.execute(select(table)).mappings().all()
    assert {name for row in rows for name in row} == {
        "unit",
        "attempt_id",
        "host",
        "port",
        "token_sha256",
        "updated_at",
    }


def test_whoever_lost_the_lease_neither_moves_a_door_nor_removes_it(ledger: Ledger, clock: Clock) -> None:
    first = start_attempt(ledger)
    register(ledger, first, door(first.id))
    clock.forward(61)
    with ledger.write() as tx:
        second = adoption.adopt(tx, first.id, run_id="run-2", lease_s=60)
    assert find(ledger, first.id) == door(first.id)  # the next supervisor keeps its token
    register(ledger, second, door(first.id, 5000))
    with pytest.raises(LeaseLostError):
        register(ledger, first, door(first.id, 4000))
    with ledger.write() as tx:
        assert not attempt_doors.remove(tx, first.id, first.id, token_of(first))
    assert find(ledger, first.id) == door(first.id, 5000)
    with ledger.write() as tx:
        assert attempt_doors.remove(tx, first.id, first.id, token_of(second))
    assert find(ledger, first.id) is None


def test_the_end_of_an_attempt_removes_its_doors(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    for unit in (attempt.id, f"{attempt.id}-checks"):
        register(ledger, attempt, door(unit))
    settle(ledger, attempt, Cause.AGENT_ERROR)
    assert find(ledger, attempt.id) is None
    with ledger.read() as tx:
        assert tx.execute(select(table)).all() == []
    with pytest.raises(LeaseLostError):
        register(ledger, attempt, door(attempt.id))


def test_a_door_that_an_older_version_left_leads_nowhere_and_goes(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    register(ledger, attempt, door(attempt.id))
    settle(ledger, attempt, Cause.AGENT_ERROR)
    values = {"host": "10.0.0.7", "port": 4000, "token_sha256": HASH}
    with ledger.write() as tx:
        tx.execute(table.insert().values(unit=attempt.id, attempt_id=attempt.id, updated_at=tx.now, **values))
    assert find(ledger, attempt.id) is None
    other = start_attempt(ledger)
    register(ledger, other, door(other.id))
    with ledger.read() as tx:
        assert [row.unit for row in tx.execute(select(table))] == [other.id]
