"""An empty ledger for what only reads a home that has none: it finds nothing, and nothing is made in the home."""

from pathlib import Path
from tempfile import TemporaryDirectory

from squire_pipelines.ledger.store import Ledger


class EmptyLedger(Ledger):
    """A ledger without rows in a folder of its own, which `close` removes."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="squire-")
        super().__init__(f"sqlite:///{Path(self._folder.name) / 'ledger.sqlite'}")
        self.ensure_schema()

    def close(self) -> None:
        """Close all connections, and remove the folder."""
        super().close()
        self._folder.cleanup()
