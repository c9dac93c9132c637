"""What launching takes just now, as the ledger has it, and dispatch that keeps to it."""

import pytest

from squire_pipelines.ledger import launches, task_dispatch
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.launches import MAX_RECENT, RECENT
from squire_pipelines.ledger.store import Ledger
from tests.support.ledgers import Clock, add_task, claim, dispatch


def recent(ledger: Ledger) -> tuple[float, ...]:
    with ledger.read() as tx:
        return launches.recent_launches_s(tx)


def dispatch_unclaimed(ledger: Ledger, most: int) -> tuple[Attempt, ...]:
    with ledger.write() as tx:
        return task_dispatch.dispatch(
            tx, max_concurrent=100, max_per_repository=100, claim_deadline_s=60, max_unclaimed=most
        )


def test_the_last_launches_are_known_newest_first_and_old_ones_are_not(ledger: Ledger, clock: Clock) -> None:
    assert recent(ledger) == ()
    for taken_s in (3, 40):
        add_task(ledger)
        (queued,) = dispatch(ledger)
        clock.forward(taken_s)
        claim(ledger, queued.id)
    add_task(ledger)
    dispatch(ledger)  # nobody has claimed it, so that nobody knows how long that takes
    assert recent(ledger) == (40, 3)
    clock.forward(RECENT.total_seconds() - 1)
    assert recent(ledger) == ()


def test_only_so_many_launches_are_read(ledger: Ledger) -> None:
    for _ in range(MAX_RECENT + 1):
        add_task(ledger)
        claim(ledger, dispatch(ledger)[0].id)
    assert len(recent(ledger)) == MAX_RECENT


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_attempts_wait_for_their_run_than_may(ledger: Ledger, most: int) -> None:
    for _ in range(2 * most):
        add_task(ledger)
    first = dispatch_unclaimed(ledger, most)
    assert len(first) == most
    assert dispatch_unclaimed(ledger, most) == ()
    claim(ledger, first[0].id)
    assert len(dispatch_unclaimed(ledger, most)) == 1
    with ledger.read() as tx:
        assert launches.count_unclaimed(tx) == most
