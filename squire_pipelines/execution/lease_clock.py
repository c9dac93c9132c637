"""Tells a lease that nobody prolongs from one that only looks so since the ledger's clock was set.

The last look is a file of the home, so that a run that has just started knows what sensors saw before it.
"""

import contextlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from squire_pipelines.domain.clock_jumps import ClockLook, next_look
from squire_pipelines.files import open_untrusted, write_atomically
from squire_pipelines.home import make_folder

_WRITE_EVERY_S = 30.0
_SMALL_STEP_S = 0.5
_MAX_BYTES = 4096


class LeaseClock:
    """Looks at the ledger's clock beside the machine's monotonic one. Each process of the home may do so at any time.

    Args:
        run: The home's folder of what its processes share.
        lease_s: Of an attempt. A sixth of it is no jump: a beat every third of it keeps the lease over that.
        monotonic: Seconds.
    """

    def __init__(self, run: Path, lease_s: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = run / "lease-clock.json"
        self._least_s = lease_s / 6
        self._monotonic = monotonic

    def is_steady(self, now: datetime, seconds: float) -> bool:
        """Return whether the ledger's clock, which shows `now`, was not set within so many seconds, as far as seen.

        A machine that has slept is one whose clock was set: who prolongs leases has slept too.
        """
        before = self._read()
        look = next_look(before, wall_s=now.timestamp(), monotonic_s=self._monotonic(), least_s=self._least_s)
        if before is None or _is_news(before, look):
            # Where the disk is full the file says nothing to others; what was seen now counts all the same.
            with contextlib.suppress(OSError):
                make_folder(self._path.parent)
                write_atomically(self._path, json.dumps(asdict(look)).encode(), durable=False)
        return look.is_steady_for(seconds)

    def _read(self) -> ClockLook | None:
        try:
            with open_untrusted(self._path) as file:
                stored = json.loads(file.read(_MAX_BYTES))
            jumped_at = stored["jumped_at_s"]
            numbers = [float(stored["difference_s"]), float(stored["seen_at_s"])]
            numbers += [] if jumped_at is None else [float(jumped_at)]
        except (OSError, ValueError, KeyError, TypeError):
            return None  # there is none, or another program wrote it
        return ClockLook(*numbers) if all(math.isfinite(number) for number in numbers) else None


def _is_news(before: ClockLook, look: ClockLook) -> bool:
    return (
        look.jumped_at_s != before.jumped_at_s
        or abs(look.difference_s - before.difference_s) >= _SMALL_STEP_S
        or not 0 <= look.seen_at_s - before.seen_at_s < _WRITE_EVERY_S
    )
