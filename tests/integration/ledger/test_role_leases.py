"""A role is one holder's at a time, by the ledger's clock."""

from squire_pipelines.ledger import role_leases
from squire_pipelines.ledger.role_leases import STEWARD, RoleLease
from squire_pipelines.ledger.store import Ledger
from tests.support.ledgers import Clock

LEASE_S = 20.0


def take(ledger: Ledger, holder: str) -> RoleLease:
    with ledger.write() as tx:
        return role_leases.take(tx, STEWARD, holder, version="1.0", lease_s=LEASE_S)


def prolong(ledger: Ledger, lease: RoleLease) -> bool:
    with ledger.write() as tx:
        return role_leases.prolong(tx, lease, lease_s=LEASE_S)


def test_a_role_is_its_holders_until_the_lease_is_over(ledger: Ledger, clock: Clock) -> None:
    first = take(ledger, "one:/home")
    assert (first.holder, first.token) == ("one:/home", 1)
    clock.forward(LEASE_S - 1)
    assert take(ledger, "two:/home") == first
    assert prolong(ledger, first)
    clock.forward(LEASE_S - 1)
    assert take(ledger, "two:/home").holder == "one:/home"
    clock.forward(1)
    second = take(ledger, "two:/home")
    assert (second.holder, second.token) == ("two:/home", 2)
    assert not prolong(ledger, first)
    assert prolong(ledger, second)


def test_a_holder_that_starts_again_has_its_role_at_once_and_its_old_process_has_lost_it(ledger: Ledger) -> None:
    before = take(ledger, "one:/home")
    after = take(ledger, "one:/home")
    assert after.token == before.token + 1
    assert not prolong(ledger, before)


def test_a_lease_that_is_over_is_prolonged_while_nobody_has_taken_the_role(ledger: Ledger, clock: Clock) -> None:
    lease = take(ledger, "one:/home")
    clock.forward(10 * LEASE_S)
    assert prolong(ledger, lease)
    assert take(ledger, "two:/home").holder == "one:/home"


def test_a_role_that_was_left_is_free_and_nobody_leaves_anothers(ledger: Ledger, clock: Clock) -> None:
    first = take(ledger, "one:/home")
    clock.forward(LEASE_S)
    second = take(ledger, "two:/home")
    with ledger.write() as tx:
        role_leases.give_up(tx, first)
        assert role_leases.read(tx, STEWARD) == second
        role_leases.give_up(tx, second)
        assert role_leases.read(tx, STEWARD) is None
    assert take(ledger, "one:/home").holder == "one:/home"
