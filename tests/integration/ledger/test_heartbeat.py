"""The thread that keeps a lease alive, hears of a cancel, and knows when the lease is gone."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import LeaseLostError, LedgerError
from squire_pipelines.ledger import attempts, tasks
from squire_pipelines.ledger.heartbeat import Heartbeat
from squire_pipelines.ledger.store import Ledger, Transaction
from tests.support.ledgers import RETRY, Clock, claim, settle, sqlite_ledger_file, start_attempt, token_of


def wait_for(condition: Callable[[], bool]) -> bool:
    """Whether `condition` came true within 20 seconds."""
    pause = threading.Event()
    return any(condition() or pause.wait(0.02) for _ in range(1000))


def must_stop(heart: Heartbeat) -> bool:
    return heart.cancel_requested.is_set() or heart.lost.is_set()


def test_the_lease_is_prolonged_at_once_and_then_again_and_again(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger, lease_s=5)

    def lease() -> object:
        with ledger.read() as tx:
            return attempts.get(tx, attempt.id).lease_until

    clock.forward(3)
    with Heartbeat(ledger, attempt.id, token_of(attempt), lease_s=0.3) as heart:
        first = lease()
        assert first != attempt.lease_until
        clock.forward(3)
        assert wait_for(lambda: lease() != first)
        assert not must_stop(heart)
    last = lease()
    clock.forward(3)
    assert lease() == last
    assert not any(thread.name == f"heartbeat-{attempt.id}" for thread in threading.enumerate())


def test_a_cancel_is_heard(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    with Heartbeat(ledger, attempt.id, token_of(attempt), lease_s=0.3) as heart:
        assert not must_stop(heart)
        with ledger.write() as tx:
            tasks.cancel(tx, attempt.task_id, actor="ann")
        assert heart.cancel_requested.wait(20)
        assert must_stop(heart)
        assert not heart.lost.is_set()


def test_a_lease_that_is_anothers_is_lost(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    with Heartbeat(ledger, attempt.id, token_of(attempt), lease_s=0.3) as heart:
        claim(ledger, attempt.id)
        assert heart.lost.wait(20)
        assert must_stop(heart)


def test_one_does_not_begin_with_a_lease_that_is_lost(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    settle(ledger, attempt, Cause.COMPLETED)
    with pytest.raises(LeaseLostError), Heartbeat(ledger, attempt.id, token_of(attempt), lease_s=60):
        pytest.fail("it began")


@pytest.mark.slow
def test_a_ledger_that_is_away_for_a_while_is_no_reason_to_stop(tmp_path: Path, open_at: Callable[..., Ledger]) -> None:
    url = f"sqlite:///{sqlite_ledger_file(tmp_path / 'ledger.sqlite')}"  # its one lock is the way to keep it busy
    ledger = open_at(url, busy_timeout_s=0.05)
    other = open_at(url)
    attempt = start_attempt(ledger)
    with Heartbeat(ledger, attempt.id, token_of(attempt), lease_s=3) as heart:
        with other.write():
            assert wait_for(lambda: heart.last_error is not None)
            assert isinstance(heart.last_error, LedgerError)
            assert not must_stop(heart)
        assert wait_for(lambda: heart.last_error is None)
        assert not must_stop(heart)


def test_a_lease_that_could_not_be_prolonged_in_time_is_lost(tmp_path: Path, open_at: Callable[..., Ledger]) -> None:
    url = f"sqlite:///{sqlite_ledger_file(tmp_path / 'ledger.sqlite')}"
    ledger = open_at(url, busy_timeout_s=0.05)
    other = open_at(url)
    attempt = start_attempt(ledger)
    with Heartbeat(ledger, attempt.id, token_of(attempt), lease_s=0.3) as heart, other.write():
        assert heart.lost.wait(20)
        assert must_stop(heart)


def test_the_reaper_and_a_heart_that_beats_never_both_win(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger, lease_s=60)
    clock.forward(61)

    def beat(tx: Transaction) -> None:
        attempts.heartbeat(tx, attempt.id, token_of(attempt), lease_s=60)

    with ledger.write() as tx:
        beat(tx)
    with ledger.write() as tx:
        assert attempts.reap(tx, attempt.id, retry=RETRY, message="gone") is None
