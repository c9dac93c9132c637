"""The metrics as they were read last: one thread reads them now and then, so that a scrape costs a copy of a text.

A reading that takes long is made less often: none takes more than a fiftieth of the time, however large the ledger is
and however often Prometheus asks. One that fails keeps its last values, and is counted.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from squire_pipelines import __version__
from squire_pipelines.endpoint.exposition import text_of
from squire_pipelines.endpoint.gauges import Gauges, ReadValues
from squire_pipelines.metrics import families
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.repeating_thread import RepeatingThread

MOST_OF_THE_TIME = 0.02
"""The share of the time that one reading may take."""

_log = get_logger(Component.ENDPOINT)


@dataclass(slots=True)
class MetricsReading:
    """One reading: what it does, and how the last one went.

    Args:
        name: One of `families.READINGS`.
        read: Makes it.
    """

    name: str
    read: Callable[[], ReadValues]
    values: ReadValues = field(default_factory=ReadValues)
    made_at: float | None = None
    took_s: float = 0.0
    due_at: float = 0.0
    failures: int = 0
    is_failing: bool = False


class Snapshot(RepeatingThread):
    """The metrics of a home.

    Args:
        readings: What is read, in this order.
        interval_s: Returns how often, at most.
        monotonic: Seconds, for intervals.
        wall: Unix time, for moments that are shown.
    """

    def __init__(
        self,
        readings: tuple[MetricsReading, ...],
        *,
        interval_s: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__("squire-metrics", stop_within_s=5.0)
        self._readings = readings
        self._interval_s = interval_s
        self._monotonic = monotonic
        self._wall = wall
        self._text = text_of((self._own_gauges(),), ())
        self._made_at = monotonic()

    def text(self) -> bytes:
        """Return the metrics as they were read last, with their age now. Reads nothing."""
        age = Gauges()
        age.set(families.METRICS_AGE, round(self._monotonic() - self._made_at, 3))
        return self._text + text_of((age,), ())

    def refresh(self) -> None:
        """Make the readings that are due, and the text of all."""
        for reading in self._readings:
            if self._monotonic() >= reading.due_at and not self.is_stopping:
                self._make(reading)
        gauges = [reading.values.gauges for reading in self._readings]
        self._text = text_of((self._own_gauges(), *gauges), [reading.values.counters for reading in self._readings])
        self._made_at = self._monotonic()

    def _make(self, reading: MetricsReading) -> None:
        began = self._monotonic()
        try:
            reading.values = reading.read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other metrics are shown, and this is counted
            reading.failures += 1
            if not reading.is_failing:
                _log.error("metrics cannot be read", reading=reading.name, reason=f"{type(error).__name__}: {error}")
            reading.is_failing = True
        else:
            if reading.is_failing:
                _log.info("metrics are read again", reading=reading.name)
            reading.is_failing = False
            reading.made_at = self._wall()
        ended = self._monotonic()
        reading.took_s = ended - began
        reading.due_at = ended + max(self._interval_s() * 0.9, reading.took_s / MOST_OF_THE_TIME)

    def _own_gauges(self) -> Gauges:
        gauges = Gauges()
        gauges.set(families.BUILD, 1, __version__)
        for reading in self._readings:
            gauges.set(families.READING_DURATION, round(reading.took_s, 6), reading.name)
            gauges.set(families.READING_FAILURES, reading.failures, reading.name)
            if reading.made_at is not None:
                gauges.set(families.READING_AGE, reading.made_at, reading.name)
        return gauges

    def repeat(self) -> float:
        """Make the readings that are due."""
        try:
            self.refresh()
        except Exception as error:  # noqa: BLE001 - the last text is shown on, and its age grows
            _log.error("metrics cannot be shown", reason=f"{type(error).__name__}: {error}")
        return self._interval_s()
