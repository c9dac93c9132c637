"""The demo with all of its real parts but Dagster's daemon and code server, whose work is done in the demo's process.

`python -m tests.support.demo_without_daemon WORD...` is `squire WORD...` with that, for tests that kill it: a demo of
one task takes a tenth of the processor time that it takes with them, which is that of a process for each run.
"""

from unittest.mock import patch

import dagster as dg

from squire_pipelines.cli.main import main
from squire_pipelines.demo import driver
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.runtime.services import Services
from squire_pipelines.sensors.dispatch import dispatch
from squire_pipelines.sensors.history import history_follows_events
from squire_pipelines.sensors.outcomes import outcomes
from squire_pipelines.sensors.planning import plan_follows_signals
from squire_pipelines.sensors.reaper import recovery
from squire_pipelines.sensors.webhooks import webhooks
from squire_pipelines.settings.model import load_settings
from tests.support.pipeline import Pipeline

_SENSORS = (webhooks, plan_follows_signals, dispatch, recovery, outcomes)


class ServicesWithoutDaemon(Services):
    """The receiver is a real process; each `keep_up` is one tick of every sensor, and the runs that it asks for."""

    idle = False

    def launch_daemon(self) -> None:
        settings = load_settings()
        self.instance = dg.DagsterInstance.ephemeral()
        self.ledger = Ledger(settings.resolved_ledger_url)
        self.work = Pipeline(settings.home.state, settings.github.api_url, self.ledger, self.instance)
        self.cursors: dict[str, str | None] = {}
        self.launched: set[str] = set()

    def wait_for_code_server(self) -> None:
        """There is none."""

    def keep_up(self, *, gives_up: bool = True) -> None:
        super().keep_up(gives_up=gives_up)
        if not self.idle and not [sensor for sensor in _SENSORS if self._tick(sensor)]:
            self._tick(history_follows_events)  # once for all that has happened, as it takes longest

    def _tick(self, sensor: dg.SensorDefinition) -> bool:
        """Evaluate a sensor and do what it asks for; return whether that was anything."""
        tick = self.work.sensor(sensor, self.cursors.get(sensor.name))
        self.cursors[sensor.name] = tick.cursor
        self.work.add_partitions(tick)
        new = [run for run in tick.run_requests if run.run_key is None or run.run_key not in self.launched]
        for request in new:
            if request.run_key is not None:
                self.launched.add(request.run_key)
            self.work.request(request)
        return bool(new)

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)  # type: ignore[arg-type] # passed on as they are
        self.ledger.close()
        self.instance.dispose()


if __name__ == "__main__":
    with patch.object(driver, "Services", ServicesWithoutDaemon):
        main()
