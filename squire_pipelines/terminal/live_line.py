"""One line on a terminal that says what long work does and for how long, and that goes away with it."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from squire_pipelines.domain.terminal_text import one_line

FIRST_S = 1.0
"""Work that is over sooner shows nothing."""
EACH_S = 0.5
_JOIN_S = 5.0
_CLEAR = "\r\x1b[K"


def line_at(text: str, seconds: float, columns: int) -> str:
    """Return the line after some seconds, in so many columns."""
    passed = f" … {seconds:.0f} s"
    return _CLEAR + one_line(text, limit=max(1, columns - len(passed) - 1)) + passed


@contextmanager
def live_line(
    text: str, *, stream: IO[str] | None = None, wait: Callable[[threading.Event, float], bool] | None = None
) -> Iterator[None]:
    """Show on standard error what is being done, while the work writes nothing; nothing where that is no terminal.

    Args:
        text: What is being done, such as `publishing the warehouse`.
        stream: In place of standard error.
        wait: Waits for an event for so many seconds and returns whether it came; tests have their own clock.
    """
    target = stream or sys.stderr
    if target is None or not target.isatty() or os.environ.get("TERM") == "dumb":
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(
        target=_write_until, args=(target, text, ended, wait or threading.Event.wait), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_JOIN_S)


def _write_until(
    target: IO[str], text: str, ended: threading.Event, wait: Callable[[threading.Event, float], bool]
) -> None:
    began, pause, has_written = time.monotonic(), FIRST_S, False
    try:
        while not wait(ended, pause):
            columns = shutil.get_terminal_size().columns
            target.write(line_at(text, time.monotonic() - began, columns))
            target.flush()
            has_written, pause = True, EACH_S
        if has_written:
            target.write(_CLEAR)
            target.flush()
    except (OSError, ValueError):  # the terminal is gone, which the work itself will notice
        return
