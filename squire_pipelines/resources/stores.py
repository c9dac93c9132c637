"""Where things are kept: the ledger, the warehouse and the settings, as Dagster resources."""

from functools import lru_cache
from pathlib import Path

import dagster as dg

from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.settings import Settings, load_settings


@lru_cache(maxsize=8)
def _open(url: str) -> Ledger:
    # One engine per process: sensors evaluate every few seconds and would open and close it each time.
    return open_ledger(url)


class SettingsResource(dg.ConfigurableResource[Settings]):
    """The settings, read anew for each run and tick, so that a changed file holds from the next one on."""

    config_file: str | None = None

    def load(self) -> Settings:
        """Read the settings. Raises ConfigError."""
        return load_settings(Path(self.config_file) if self.config_file else None)


class LedgerResource(dg.ConfigurableResource[Ledger]):
    """The system of record."""

    settings: dg.ResourceDependency[SettingsResource]

    def open(self) -> Ledger:
        """The ledger, open and with its schema in place. Raises LedgerError."""
        return _open(self.settings.load().resolved_ledger_url)
