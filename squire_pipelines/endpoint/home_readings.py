"""All readings of one home, put together: which there are, and what each is given."""

from collections.abc import Callable

from squire_pipelines.endpoint import ledger_gauges
from squire_pipelines.endpoint.exposition import zeros_of
from squire_pipelines.endpoint.gauges import Gauges, ReadValues, bounded_names
from squire_pipelines.endpoint.ledger_counters import KnownNames, LedgerCounters
from squire_pipelines.endpoint.machine_gauges import read_machine
from squire_pipelines.endpoint.snapshot import MetricsReading
from squire_pipelines.errors import ConfigError, LedgerError
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.metrics import families
from squire_pipelines.metrics.family import Origin
from squire_pipelines.metrics.folding import read_all
from squire_pipelines.reloading.in_force import SettingsInForce
from squire_pipelines.settings.model import Settings

LEDGER_TOTALS = "ledger.json"

_BUSY_TIMEOUT_S = 5.0
_Read = Callable[[Transaction, Settings], Gauges]


class HomeReadings:
    """What is read of one home.

    Args:
        in_force: Its settings, followed by others.
    """

    def __init__(self, in_force: SettingsInForce) -> None:
        self._in_force = in_force
        self._folder = in_force.home.metrics
        self._ledger = Ledger(in_force.settings.resolved_ledger_url, busy_timeout_s=_BUSY_TIMEOUT_S)
        self._named: tuple[Settings, KnownNames] | None = None
        self._counters = LedgerCounters(self._folder / LEDGER_TOTALS, names=self._names)
        self._forecast = ledger_gauges.QuotaForecast()

    def all(self) -> tuple[MetricsReading, ...]:
        """Return them, the cheap ones first."""
        gauges: tuple[tuple[str, _Read], ...] = (
            ("queue", ledger_gauges.read_queue),
            ("attempts", ledger_gauges.read_attempts),
            ("github", self._forecast.read),
            ("deliveries", ledger_gauges.read_inbox),
            ("budgets", ledger_gauges.read_budgets),
            ("alerts", ledger_gauges.read_alerts),
            ("ledger", ledger_gauges.read_ledger),
            ("tasks", ledger_gauges.read_tasks),
        )
        return (
            *self.of_machine(),
            *(MetricsReading(name, self._ledger_reading(read)) for name, read in gauges),
            MetricsReading("changes", self._read_changes),
        )

    def of_machine(self) -> tuple[MetricsReading, ...]:
        """Return those of this machine alone: its home's files, and what the processes of the home have counted.

        What the ledger says is served once, by the steward's endpoint: else it would be counted once for each machine.
        """
        return (
            MetricsReading("machine", lambda: ReadValues(read_machine(self._in_force.settings))),
            MetricsReading("processes", self._read_processes),
        )

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()

    def _ledger_reading(self, read: _Read) -> Callable[[], ReadValues]:
        def call() -> ReadValues:
            self._check_ledger()
            try:
                with self._ledger.read() as tx:
                    return ReadValues(read(tx, self._in_force.settings))
            finally:
                self._ledger.close()  # a backup may be put in its place, which an open file would hide

        return call

    def _names(self) -> KnownNames:
        """Return the names that labels may have, worked out once for each settings."""
        settings = self._in_force.settings
        if self._named is None or self._named[0] is not settings:
            self._named = (settings, known_names(settings))
        return self._named[1]

    def _read_changes(self) -> ReadValues:
        self._check_ledger()
        try:
            return ReadValues(counters={**zeros_of(Origin.LEDGER), **self._counters.read(self._ledger)})
        finally:
            self._ledger.close()

    def _check_ledger(self) -> None:
        """Raise LedgerError where there is no ledger yet: to look at it would make an empty one."""
        if self._ledger.is_sqlite and not self._ledger.path.exists():
            raise LedgerError(f"there is no ledger at {self._ledger.describe()} yet", hint="start `squire dev`")

    def _read_processes(self) -> ReadValues:
        values = read_all(self._folder)
        gauges = Gauges()
        gauges.set(families.PROCESS_FILES, values.living)
        return ReadValues(gauges, {**zeros_of(Origin.PROCESSES), **values.values})


def known_names(settings: Settings) -> KnownNames:
    """Return the names that labels may have by the settings: repositories, and models of planner and agents."""
    models = [settings.planner.model or ""]
    for repository, choice in settings.every_orderable_choice:
        try:
            models.append(settings.agent_for(repository, choice).model or "")
        except ConfigError:
            continue  # `squire config validate` says so
    models += [model for provider in settings.providers.values() for model in provider.models]
    models += settings.gateway.models
    return KnownNames(
        repositories=bounded_names(settings.repositories),
        models=bounded_names([model for model in models if model]),
    )
