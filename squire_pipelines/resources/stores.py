"""The resources `settings` and `ledger`: vend the settings and the system of record."""

from functools import lru_cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines.reloading.in_force import TICK_WAIT_S, SettingsInForce, settings_in_force
from squire_pipelines.settings.model import Settings

if TYPE_CHECKING:
    from squire_pipelines.ledger.store import Ledger


@lru_cache(maxsize=8)
def opened_ledger(url: str) -> "Ledger":
    """Return the process's ledger at `url`: sensors evaluate every few seconds and would open and close one each time.

    Raises:
        LedgerError: It cannot be opened.
    """
    from squire_pipelines.ledger.store import open_ledger  # noqa: PLC0415 - SQLAlchemy, for the runs that need it

    ledger = open_ledger(url)
    # A run's process is forked, and `atexit` calls nothing there.
    Finalize(None, _record_secret_uses, args=(ledger,), exitpriority=0)
    return ledger


def _record_secret_uses(ledger: "Ledger") -> None:
    """Record which secrets this process has read since the last time, before it ends."""
    from squire_pipelines.observability.secret_uses import record_secret_uses  # noqa: PLC0415 - as above

    if not ledger.is_sqlite or ledger.path.exists():
        record_secret_uses(ledger, actor="pipeline")


def followed_settings(config: Path | None = None) -> SettingsInForce:
    """Return what follows the settings of this process of Dagster's. Raises ConfigError.

    Args:
        config: The file, by default the usual one.
    """
    return settings_in_force(config, on_taken=lambda settings: settings.logging.apply())


class SettingsResource(dg.ConfigurableResource[Settings]):
    """Vends the settings in force, so that a changed file holds from the next run and tick on.

    A file that is not valid changes nothing: what was valid last goes on, and the sensor `settings` has it told.
    """

    config_file: str | None = None

    def create_resource(self, context: dg.InitResourceContext) -> Settings:  # noqa: ARG002 - Dagster's signature
        """Return the settings. Raises ConfigError where none have been valid yet."""
        followed = followed_settings(Path(self.config_file) if self.config_file else None)
        return followed.check(wait_s=TICK_WAIT_S).settings


class LedgerResource(dg.ConfigurableResource["Ledger"]):
    """Vends the system of record, open and with its schema in place."""

    settings: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> "Ledger":  # noqa: ARG002 - Dagster's signature
        """Return the ledger. Raises LedgerError."""
        return opened_ledger(self.settings.resolved_ledger_url)
