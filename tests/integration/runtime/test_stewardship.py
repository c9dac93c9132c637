"""One daemon of several is active: the others wait, and one that has lost the role ends itself."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from squire_pipelines.ledger import HEAD_REVISION, role_leases
from squire_pipelines.ledger.role_leases import STEWARD, RoleLease
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.runtime.stewardship import BEAT_S, LEASE_S, StewardLease, wait_for_role
from tests.support import ledger_schema
from tests.support.children import PATIENCE_S
from tests.support.ledgers import Clock

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def take(ledger: Ledger, holder: str) -> RoleLease:
    with ledger.write() as tx:
        return role_leases.take(tx, STEWARD, holder, version="1.0", lease_s=LEASE_S)


def steward_of(ledger: Ledger) -> str | None:
    """Who has the role now."""
    with ledger.read() as tx:
        lease = role_leases.read(tx, STEWARD)
        return None if lease is None or lease.is_over(tx.now) else lease.holder


def test_a_daemon_waits_until_the_other_has_gone(ledger: Ledger, clock: Clock) -> None:
    take(ledger, "one")
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.forward(seconds)

    lease = wait_for_role(ledger, "two", sleep=sleep)
    assert lease.holder == "two"
    assert sum(waits) == LEASE_S


@pytest.mark.usefixtures("database")
def test_a_daemon_waits_while_the_ledger_does_not_answer(tmp_path: Path, open_at: Callable[..., Ledger]) -> None:
    away = open_at(f"sqlite:///{tmp_path / 'missing' / 'ledger.sqlite'}")
    waits: list[float] = []

    def comes(seconds: float) -> None:
        waits.append(seconds)
        away.ensure_schema()

    assert wait_for_role(away, "one", sleep=comes).holder == "one"
    assert len(waits) == 1


def test_a_beat_prolongs_the_lease_and_the_end_leaves_the_role(ledger: Ledger, clock: Clock) -> None:
    lost: list[str] = []
    with StewardLease(ledger, take(ledger, "one"), on_loss=lambda: lost.append("one")) as lease:
        clock.forward(LEASE_S - 1)
        assert lease.repeat() == BEAT_S
        clock.forward(LEASE_S - 1)
        assert steward_of(ledger) == "one"
    assert lost == []
    assert steward_of(ledger) is None


def test_a_daemon_whose_role_another_has_taken_ends_once_and_leaves_the_others_role(
    ledger: Ledger, clock: Clock
) -> None:
    lost: list[str] = []
    with StewardLease(ledger, take(ledger, "one"), on_loss=lambda: lost.append("one")) as lease:
        clock.forward(LEASE_S)
        take(ledger, "two")
        lease.repeat()
        lease.repeat()
    assert lost == ["one"]
    assert steward_of(ledger) == "two"


def test_a_daemon_that_cannot_beat_ends_before_its_lease_is_over(ledger: Ledger) -> None:
    lost = threading.Event()
    with StewardLease(ledger, take(ledger, "one"), on_loss=lost.set, given_up_after_s=0.01):
        assert lost.wait(PATIENCE_S)


_DAEMON = """
import sys
from squire_pipelines.ledger import role_leases
from squire_pipelines.runtime import stewardship
stewardship.BEAT_S = 0.05
with stewardship.as_steward():
    print("steward", flush=True)
    sys.stdin.read()
"""


def test_the_process_of_a_daemon_that_lost_its_role_is_ended(ledger_url: str, open_at: Callable[..., Ledger]) -> None:
    environment = {**os.environ, "SQUIRE_LEDGER_URL": ledger_url}
    with subprocess.Popen(
        [sys.executable, "-c", _DAEMON], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as daemon:
        try:
            assert daemon.stdout is not None
            assert daemon.stdout.readline() == "steward\n"
            with open_at(ledger_url).write() as tx:
                lease = role_leases.read(tx, STEWARD)
                assert lease is not None
                role_leases.take(tx, STEWARD, lease.holder, version="1.0", lease_s=LEASE_S)  # as one of a later start
            assert daemon.wait(PATIENCE_S) != 0
        finally:
            daemon.kill()


def test_a_daemon_ends_itself_when_the_ledger_was_upgraded_to_what_it_cannot_go_on_with(
    ledger_url: str, open_at: Callable[..., Ledger]
) -> None:
    ledger = open_at(ledger_url)
    ledger.ensure_schema()
    lost: list[bool] = []
    with StewardLease(ledger, take(ledger, "one"), on_loss=lambda: lost.append(True)) as beats:
        for oldest, ends in ((HEAD_REVISION, []), ("9999", [True])):
            with ledger.write() as tx:
                ledger_schema.set_schema(tx, "9999", oldest_program=oldest)
            beats.repeat()
            assert lost == ends
