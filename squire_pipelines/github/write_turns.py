"""Writes to GitHub at a distance from each other, whichever of our processes makes them: one file, locked in turn.

GitHub asks for a second between writes (https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api);
runs and sensors are processes of their own, which share a home.
"""

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

_POLL_S = 0.02
_MAX_WAIT_S = 60.0


class WriteTurns:
    """Who may write next. The file holds the time of the last turn; the kernel frees its lock when a holder dies.

    Args:
        path: The file, in a folder that all processes share; both are made when they are missing.
        now: Seconds by the wall clock, since containers on one machine need not share another one.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now

    async def take(self, interval_s: float) -> None:
        """Wait until the last turn of any process is `interval_s` ago, then take one.

        A clock that was set back, or a file that cannot be written, costs at most one interval: the distance is a
        courtesy, and the work must go on. Nobody waits longer than a minute.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            await asyncio.sleep(interval_s)
            return
        try:
            await self._lock(descriptor)
            last = _parsed(os.pread(descriptor, 64, 0))
            wait = last + interval_s - self._now()
            if 0 < wait <= interval_s:
                await asyncio.sleep(wait)
            os.pwrite(descriptor, f"{self._now():020.6f}\n".encode(), 0)
        finally:
            os.close(descriptor)

    async def _lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + _MAX_WAIT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            await asyncio.sleep(_POLL_S)


def _parsed(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
