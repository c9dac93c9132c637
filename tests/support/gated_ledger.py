"""A ledger whose writers wait until a test lets them in."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from squire_pipelines.ledger.store import Ledger, Transaction


class GatedLedger(Ledger):
    """A ledger whose writers come in one by one, when they are let in."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.arrived, self.gate = threading.Event(), threading.Event()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Say that somebody is there, and wait until he is let in."""
        self.arrived.set()
        assert self.gate.wait(60)
        with super().write() as tx:
            yield tx
