"""Writes to GitHub at a distance from each other, whichever of our processes makes them: one file, locked in turn.

GitHub asks for a second between writes (https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api);
runs and sensors are processes of their own, which share a home.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from squire_pipelines.files import lock

_POLL_S = 0.02
_MAX_WAIT_S = 60.0


class Turns(Protocol):
    """Decides who may write next; `ledger.write_turns` does so for all machines on one ledger."""

    async def take(self, interval_s: float, credential: str = "") -> None:
        """Wait for a turn of a credential, which comes at least `interval_s` after the one before it."""


class WriteTurns:
    """Decides who may write next, by a file with the time of the last turn. The kernel frees a dead holder's lock.

    Args:
        path: The file, in a folder that all processes share; both are made when they are missing.
        now: Seconds by the wall clock, since containers on one machine need not share another one.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now

    async def take(self, interval_s: float, credential: str = "") -> None:  # noqa: ARG002 - see `Turns`
        """Wait until the last turn of any process is `interval_s` ago, then take one.

        A clock that was set back, or a file that cannot be written, costs at most one interval: the distance is a
        courtesy, and the work must go on. Nobody waits longer than a minute.
        """
        with contextlib.ExitStack() as stack:
            try:
                await self._lock(stack)
                wait = _parsed(self._path.read_bytes()) + interval_s - self._now()
                if 0 < wait <= interval_s:
                    await asyncio.sleep(wait)
            except OSError:
                await asyncio.sleep(interval_s)
            with contextlib.suppress(OSError):
                self._path.write_text(f"{self._now():.6f}\n", "ascii")

    async def _lock(self, stack: contextlib.ExitStack) -> None:
        deadline = time.monotonic() + _MAX_WAIT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                stack.enter_context(lock(self._path))
                return
            await asyncio.sleep(_POLL_S)


def _parsed(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
