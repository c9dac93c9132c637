"""A probe, and running some side by side: each has a time limit, and one that hangs keeps no other waiting."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from squire_pipelines.domain.conditions import ConditionState
from squire_pipelines.errors import SquireError
from squire_pipelines.observability.logging import Component, get_logger

MISSED_LOOKS = 3
_log = get_logger(Component.PIPELINE)

States = Mapping[str, ConditionState]
"""What a probe has seen, by the condition's name. A condition of the probe's that is not in it is not known now."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Looks at one thing.

    Args:
        name: Of the probe.
        conditions: The conditions that it may give; the first is what does not answer when the probe is not done in
            time.
        every_s: How often it is run, in seconds.
        timeout_s: How long it may take. It should need less by its own limits.
        run: Looks. May raise SquireError.
        warm_up_s: So long its first look may go on, such as one that imports Dagster: meanwhile nothing is known, and
            nothing follows.
    """

    name: str
    conditions: tuple[str, ...]
    every_s: float
    timeout_s: float
    run: Callable[[], States]
    warm_up_s: float = 0.0

    @property
    def fresh_for_s(self) -> float:
        """How old what it gives may become before nobody seems to look any more."""
        return MISSED_LOOKS * self.every_s + self.timeout_s


class ProbeRunner:
    """Runs probes, each in a thread of its own. One that hangs is not started again before it has ended.

    Args:
        monotonic: Seconds.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._failing: set[str] = set()
        self._first_looks: dict[str, float] = {}
        self._answered: set[str] = set()

    def run(self, probes: Sequence[Probe]) -> Iterator[tuple[Probe, States]]:
        """Yield what each probe has seen, as soon as it is there; nothing of one that warms up."""
        results: queue.SimpleQueue[tuple[str, States]] = queue.SimpleQueue()
        waiting: dict[str, tuple[Probe, float]] = {}
        for probe in probes:
            if self._start(probe, results):
                waiting[probe.name] = probe, self._monotonic() + probe.timeout_s
            elif not self._warms_up(probe):
                yield probe, _unanswered(probe)
        while waiting:
            first, until = min(waiting.values(), key=lambda item: item[1])
            try:
                name, states = results.get(timeout=max(0.0, until - self._monotonic()))
            except queue.Empty:
                del waiting[first.name]
                if not self._warms_up(first):
                    yield first, _unanswered(first)
                continue
            if name in waiting:
                yield waiting.pop(name)[0], states

    def _start(self, probe: Probe, results: "queue.SimpleQueue[tuple[str, States]]") -> bool:
        with self._lock:
            if probe.name in self._running:
                return False
            self._running.add(probe.name)
            self._first_looks.setdefault(probe.name, self._monotonic())

        def run() -> None:
            try:
                states = self._states_of(probe)
            finally:
                with self._lock:
                    self._running.discard(probe.name)
                    self._answered.add(probe.name)
            results.put((probe.name, states))

        threading.Thread(target=run, name=f"probe-{probe.name}", daemon=True).start()
        return True

    def _warms_up(self, probe: Probe) -> bool:
        with self._lock:
            is_first = probe.name not in self._answered
            return is_first and self._monotonic() - self._first_looks[probe.name] < probe.warm_up_s

    def _states_of(self, probe: Probe) -> States:
        try:
            states = probe.run()
        except SquireError as error:
            states = {probe.conditions[0]: ConditionState.down(error.message, error.hint, is_doubtful=True)}
        except Exception as error:  # noqa: BLE001 - a fault of ours in one probe must not end the looks at all others
            with self._lock:
                is_new = probe.name not in self._failing
                self._failing.add(probe.name)
            if is_new:  # and not at each look of a year
                _log.exception("probe failed", probe=probe.name)
            reason = f"it could not be looked at: {type(error).__name__}"
            hint = "a fault of Squire's; the log of the process that looks has the traceback"
            return {probe.conditions[0]: ConditionState.degraded(reason, hint)}
        with self._lock:
            self._failing.discard(probe.name)
        return states


def _unanswered(probe: Probe) -> States:
    reason = f"no answer within {probe.timeout_s:g} s"
    hint = f"`squire doctor` looks at it more closely: {probe.name}"
    return {probe.conditions[0]: ConditionState.down(reason, hint, is_doubtful=True)}
