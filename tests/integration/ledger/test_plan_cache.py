"""Claims of questions to a model, and how they end."""

from datetime import timedelta

from squire_pipelines.domain.plan_making import CacheState
from squire_pipelines.ledger import plan_cache
from squire_pipelines.ledger.store import Ledger
from tests.support.ledgers import Clock, plan

LEASE = timedelta(minutes=2)
TTL = timedelta(days=1)


def claim(ledger: Ledger, holder: str) -> str:
    with ledger.write() as tx:
        return plan_cache.claim(tx, "k", holder, LEASE).holder


def settle(ledger: Ledger, holder: str) -> CacheState | None:
    with ledger.write() as tx:
        plan_cache.settle(tx, "k", holder, plan(), ttl=TTL, max_entries=5)
        entry = plan_cache.look_up(tx, "k")
    return None if entry is None else entry.state


def test_a_claim_of_one_that_was_killed_holds_for_its_lease_and_no_longer(ledger: Ledger, clock: Clock) -> None:
    assert claim(ledger, "killed") == "killed"
    clock.forward(LEASE.total_seconds() - 1)
    assert claim(ledger, "next") == "killed"
    clock.forward(1)
    assert claim(ledger, "next") == "next"
    assert settle(ledger, "killed") is CacheState.ASKING  # it was only slow, and comes too late
    assert settle(ledger, "next") is CacheState.ANSWERED


def test_a_clock_that_is_set_back_keeps_nobody_waiting_for_as_long(ledger: Ledger, clock: Clock) -> None:
    assert claim(ledger, "killed") == "killed"
    clock.forward(-30)
    assert claim(ledger, "next") == "killed"
    clock.forward(-timedelta(days=365).total_seconds())
    assert claim(ledger, "next") == "next"
