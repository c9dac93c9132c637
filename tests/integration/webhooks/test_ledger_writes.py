"""Whether the ledger takes writes is known by the last commit, or found out by one of nothing."""

import threading
from collections.abc import Callable

from squire_pipelines.ledger.store import Ledger
from squire_pipelines.webhooks.ledger_writes import FAILED_FOR_S, KNOWN_FOR_S, LedgerWrites


def test_a_ledger_that_takes_no_writes_is_found_out_and_recovers_by_itself(
    ledger: Ledger, open_at: Callable[..., Ledger]
) -> None:
    now = 0.0
    writes = LedgerWrites(open_at(str(ledger.url), busy_timeout_s=0.02), clock=lambda: now)
    with ledger.write():  # another's lock, which lasts
        assert not writes.can_write(), "nothing was written yet, so that a commit is tried"
    assert not writes.can_write(), "it is not tried again so soon"
    now += FAILED_FOR_S
    assert writes.can_write()
    with ledger.write():
        assert writes.can_write(), "it was found out a moment ago"
        now += KNOWN_FOR_S
        assert not writes.can_write()
        writes.note(has_failed=False)
        assert writes.can_write(), "a delivery was stored since"
        writes.note(has_failed=True)
        assert not writes.can_write()


class _SlowToCommit(Ledger):
    """A ledger that another process keeps, until it is let go."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.commits, self.arrived, self.gate = 0, threading.Event(), threading.Event()

    def commit_nothing(self) -> None:
        """Wait until the other process is done."""
        self.commits += 1
        self.arrived.set()
        assert self.gate.wait(60)


def test_one_of_many_probes_waits_for_the_ledger(ledger: Ledger) -> None:
    slow = _SlowToCommit(str(ledger.url))
    writes = LedgerWrites(slow)
    first = threading.Thread(target=writes.can_write)
    first.start()
    assert slow.arrived.wait(60)
    assert [writes.can_write() for _ in range(3)] == [True] * 3, "nothing is known to the contrary"
    slow.gate.set()
    first.join(60)
    assert (slow.commits, writes.can_write()) == (1, True)
    slow.close()
