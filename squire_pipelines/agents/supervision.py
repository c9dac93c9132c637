"""Watches a run until it ends: wall clock, cancellation, limits, and first asking it to end, then killing it.

Knows no engine and no process: the runners give it a handle. Deadlines are monotonic.
"""

import time
from collections.abc import Callable
from typing import Protocol

from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import EngineError

SLICE_S = 1.0
HANDOVER_S = 30.0
"""What the entrypoint gets beyond the agent's grace to hand out what a stopped agent has made."""
# A kill takes milliseconds; an engine with a blocked container was seen to take 30 s.
KILL_PATIENCE_S = 45.0
_MIN_SLICE_S = 0.05


class Handle(Protocol):
    """A run that can be waited for and stopped."""

    def wait(self, timeout_s: float) -> bool:
        """Wait at most `timeout_s` and return whether it has ended. Raises EngineError when nobody can tell."""
        ...

    def terminate(self) -> None:
        """Ask it to end (SIGTERM); harmless when it has ended."""
        ...

    def kill(self) -> None:
        """End it (SIGKILL) with all its children; harmless when it has ended."""
        ...


def supervise(
    handle: Handle,
    *,
    wall_clock_s: float,
    grace_s: float,
    heartbeat: Callable[[], bool],
    problem: Callable[[], Cause | None],
    handover_s: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
) -> Cause | None:
    """Wait for the end and return why we stopped it, or None when it ended by itself.

    A time-out, a cancellation, and a program that stays after its last word (`COMPLETED`) are asked first and killed
    after `grace_s`; an overflow kills at once, since grace would only let it grow.

    Args:
        handle: The run, which has been started.
        wall_clock_s: How long it may take.
        grace_s: How long it may take to end when asked; 0 kills at once.
        heartbeat: Called about once a second, while stopping too; False asks to cancel.
        problem: Returns why the run is to be stopped; called as often, and once more at the end.
        handover_s: How much longer it may take where what it has made is still wanted.
        clock: Monotonic seconds.

    Raises:
        EngineError: The engine cannot be asked any more, or what was killed does not end.
    """
    deadline = clock() + wall_clock_s
    stop: Cause | None = None
    killed = False
    while True:
        left = deadline - clock()
        if handle.wait(max(_MIN_SLICE_S, min(SLICE_S, left))):
            return stop or problem()
        cancelled = not heartbeat()
        now = clock()
        if stop is None:
            stop = problem() or (Cause.CANCELLED if cancelled else None)
            stop = stop or (Cause.TIMEOUT if now >= deadline else None)
            if stop in {Cause.TIMEOUT, Cause.CANCELLED, Cause.COMPLETED} and grace_s > 0:
                handle.terminate()
                deadline = now + grace_s + (0 if stop is Cause.CANCELLED else handover_s)
            elif stop is not None:
                handle.kill()
                killed, deadline = True, now + KILL_PATIENCE_S
        elif now >= deadline and killed:
            raise EngineError(
                f"what was killed has not ended within {KILL_PATIENCE_S:.0f} s", hint="look at the engine's log"
            )
        elif now >= deadline:
            handle.kill()
            killed, deadline = True, now + KILL_PATIENCE_S
