"""Looking at everything, again and again: which probe is due, what becomes of the conditions, and the clock's jumps."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from squire_pipelines.domain.clock_jumps import ClockLook, next_look
from squire_pipelines.domain.conditions import Condition, next_condition
from squire_pipelines.health.probe import Probe, ProbeRunner, States
from squire_pipelines.health.stored_conditions import (
    change_conditions,
    current_conditions,
    in_order,
    without_forgotten,
)
from squire_pipelines.home import Home
from squire_pipelines.observability.logging import Component, get_logger

LEAST_WAIT_S = 1.0
_JUMP_S = 2.0
_SET_ANEW_S = 10.0
_JUMP_SHOWN_S = 600.0
_log = get_logger(Component.PIPELINE)


def utc_now() -> datetime:
    """Return the host's time, aware and in UTC."""
    return datetime.now(UTC)


class JumpWatch:
    """Notices when the wall clock is set, by the monotonic one.

    Args:
        wall: Seconds since 1970.
        monotonic: Seconds.
    """

    def __init__(
        self, *, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._difference = wall() - monotonic()
        self._jump_s = 0.0
        self._jumped_at = 0.0

    def jump_s(self) -> float:
        """Return by how much the clock has jumped within the last ten minutes; more than 0 is ahead."""
        now = self._monotonic()
        difference = self._wall() - now
        if abs(step := difference - self._difference) >= _JUMP_S:
            recent = self._jump_s if now - self._jumped_at < _JUMP_SHOWN_S else 0.0
            self._jump_s, self._jumped_at = recent + step, now  # one that is set right again has not jumped
        self._difference = difference
        return self._jump_s if now - self._jumped_at < _JUMP_SHOWN_S else 0.0


class HealthLooks:
    """Looks at what is due, and keeps the conditions of one home. Use it in one thread.

    Args:
        home: Has the conditions.
        probes: Gives the probes by the settings as they are now; asked at each look.
        now: The wall clock.
        monotonic: Seconds, by which probes are due: a wall clock that is set makes none late.
    """

    def __init__(
        self,
        home: Home,
        probes: Callable[[], Sequence[Probe]],
        *,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._probes = probes
        self._now = now
        self._monotonic = monotonic
        self._runner = ProbeRunner()
        self._due: dict[str, float] = {}
        self._clock: ClockLook | None = None
        self._is_failing = False
        self._conditions: tuple[Condition, ...] = ()

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions after the last look; those that another process has stored, before the first."""
        return self._conditions or current_conditions(self._home)

    def look(self) -> tuple[Condition, ...]:
        """Run the probes that are due, and return all conditions.

        All are due after the wall clock was set: by it, what was seen before is of another time.
        """
        probes = self._probes()
        started = self._monotonic()
        clock = next_look(self._clock, wall_s=self._now().timestamp(), monotonic_s=started, least_s=_SET_ANEW_S)
        if clock.jumped_at_s == started:
            self._due.clear()
        self._clock = clock
        due = [probe for probe in probes if self._due.get(probe.name, started) <= started]
        self._due = {probe.name: self._due.get(probe.name, started) for probe in probes}  # of no probe that is gone
        for probe in due:
            self._due[probe.name] = started + probe.every_s
        results = list(self._runner.run(due))
        self._conditions = self._store(probes, results)
        return self._conditions

    def wait_s(self, at_most: float) -> float:
        """Return how many seconds there are until the next probe is due: at least one, and at most as many as said."""
        next_due = min(self._due.values(), default=float("inf"))
        return min(at_most, max(LEAST_WAIT_S, next_due - self._monotonic()))

    def _store(self, probes: Iterable[Probe], results: Sequence[tuple[Probe, States]]) -> tuple[Condition, ...]:
        probed = frozenset(name for probe in probes for name in probe.conditions)
        now = self._now()

        def change(known: Mapping[str, Condition]) -> dict[str, Condition]:
            changed = without_forgotten(known, probed, now=now)
            for probe, states in results:
                changed |= _conditions_of(probe, states, known, now)
                for name in set(probe.conditions) - states.keys():
                    if not _is_unanswered(probe, states):
                        changed.pop(name, None)
            return changed

        try:
            conditions = change_conditions(self._home, change)
        except (OSError, TimeoutError) as error:
            if not self._is_failing:
                _log.error("conditions cannot be stored", reason=str(error))
            self._is_failing = True
            known = {condition.name: condition for condition in self.conditions}
            return in_order(tuple(change(known).values()))
        self._is_failing = False
        return conditions


def _is_unanswered(probe: Probe, states: States) -> bool:
    """Return whether a look has shown nothing but that what it asks does not answer: the rest is as it was."""
    return len(states) == 1 and states.get(probe.conditions[0]) is not None and states[probe.conditions[0]].is_doubtful


def _conditions_of(probe: Probe, states: States, known: Mapping[str, Condition], now: datetime) -> dict[str, Condition]:
    return {
        name: next_condition(known.get(name), name, state, now=now, fresh_for_s=probe.fresh_for_s)
        for name, state in states.items()
    }
