"""How long a failed check waits for its mending to be pushed, by the rules that Dagster's daemon goes by.

The daemon is played: it looks at its sensors every five seconds from a moment by chance on, passes over one whose last
tick began less than its interval ago, and a run that it launches begins `LAUNCH_S` later. What the runs do is real, and
takes the processor time that it takes here; the agent takes none, and GitHub answers at once.
"""

import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from squire_pipelines.execution.following import begin_work
from squire_pipelines.execution.repository_settings import repository_settings
from squire_pipelines.ledger import attempts
from squire_pipelines.sensors.dispatch import dispatch as dispatch_sensor
from squire_pipelines.sensors.outcomes import outcomes as outcomes_sensor
from squire_pipelines.sensors.webhooks import webhooks as webhooks_sensor
from tests.support.ledgers import add_task, dispatch
from tests.support.life_squire import LifeSquire
from tests.support.life_world import HOSTED, LifeForge

LOOK_S = 5.0
LAUNCH_S = 3.4
"""From a request to the first op, on a machine that is not busy: as it was measured with Dagster's own executor."""
_LONGEST_S = 600.0
_QUIET_S = 61.0


@dataclass
class _Sensor:
    interval_s: float
    evaluate: Callable[[], Callable[[], object] | None]
    last_tick: datetime | None = None
    busy_until: datetime | None = None


@dataclass
class Daemon:
    """Plays the daemon from now on until something has happened.

    Args:
        squire: Whose sensors and runs they are; its clock is the time.
        phase_s: How long after now its first look comes.
    """

    squire: LifeSquire
    phase_s: float
    _runs: list[tuple[datetime, _Sensor, Callable[[], object]]] = field(default_factory=list)

    def run_until(self, happened: Callable[[], bool]) -> float:
        """Return after how many seconds it had happened."""
        clock = self.squire.clock
        began = clock.now
        look_at = began + timedelta(seconds=self.phase_s)
        sensors = (
            _Sensor(webhooks_sensor.minimum_interval_seconds or 0, self._collection),
            _Sensor(outcomes_sensor.minimum_interval_seconds or 0, self._follow),
            _Sensor(dispatch_sensor.minimum_interval_seconds or 0, self._attempts),
        )
        while (clock.now - began).total_seconds() < _LONGEST_S:
            self._runs.sort(key=lambda run: run[0])
            if self._runs and self._runs[0][0] <= look_at:
                start, sensor, run = self._runs.pop(0)
                clock.now = max(clock.now, start)
                clock.now += timedelta(seconds=_processor_seconds(run))
                sensor.busy_until = clock.now
                if happened():
                    return (clock.now - began).total_seconds()
                self._dispatch_within_tick(sensors[2])
                continue
            clock.now = max(clock.now, look_at)
            for sensor in sensors:
                self._tick(sensor)
            look_at += timedelta(seconds=LOOK_S)
        raise AssertionError(f"nothing has happened within {_LONGEST_S:g} s")

    def _tick(self, sensor: _Sensor) -> None:
        now = self.squire.clock.now
        if sensor.last_tick is not None and (now - sensor.last_tick).total_seconds() < sensor.interval_s:
            return
        sensor.last_tick = now
        if any(waiting is sensor for _, waiting, _ in self._runs):
            return  # one run at a time
        if (run := sensor.evaluate()) is not None:
            self._runs.append((now + timedelta(seconds=LAUNCH_S), sensor, run))

    def _dispatch_within_tick(self, sensor: _Sensor) -> None:
        """Let a tick of the dispatch sensor that still waits see what has happened."""
        wait_s = self.squire.settings.dispatch.wait_s
        if sensor.last_tick is None or self.squire.clock.now - sensor.last_tick > timedelta(seconds=wait_s):
            return
        last, sensor.last_tick = sensor.last_tick, None
        self._tick(sensor)
        sensor.last_tick = last

    def _collection(self) -> Callable[[], object] | None:
        ids = self.squire.due_deliveries()
        return (lambda: self.squire.collect(ids)) if ids else None

    def _follow(self) -> Callable[[], object] | None:
        return self.squire.follow if self.squire.reason_to_follow() is not None else None

    def _attempts(self) -> Callable[[], object] | None:
        squire = self.squire
        begin_work(squire.ledger, repository_settings(squire.ledger, squire.settings).of)
        dispatch(squire.ledger)
        with squire.ledger.read() as tx:
            queued = attempts.queued(tx)
        return squire.run_queued if queued else None


def _processor_seconds(run: Callable[[], object]) -> float:
    before = _used()
    run()
    return _used() - before


def _used() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in both)


def seconds_to_mend(forge: LifeForge, squire: LifeSquire, phase_s: float) -> float:
    """Return how long after its check has failed a red pull request of ours has another head, by the forge's clock."""
    forge.hold_checks = True
    add_task(squire.ledger, repository=HOSTED)
    squire.go_on()
    forge.settle()
    forge.take_deliveries()
    squire.clock.forward(_QUIET_S)
    squire.look()
    forge.hold_checks = False
    forge.settle()
    for delivery in forge.take_deliveries():
        squire.receive(delivery, HOSTED)
    red = forge.pull().head_sha

    def is_mended() -> bool:
        forge.settle()
        return forge.pull().head_sha != red

    return Daemon(squire, phase_s).run_until(is_mended)
