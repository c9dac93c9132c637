"""A thread that does the same again and again, for as long as a block lasts. What it does is its subclasses'."""

import threading
from typing import Self


class RepeatingThread:
    """Calls `repeat` in a thread of its own, from entering the block to its end.

    Args:
        name: The thread's.
        first_after_s: After how many seconds the first call is.
        stop_within_s: How long the end of the block waits for a call that is under way. What hangs longer is ended by
            the end of the process.
    """

    def __init__(self, name: str, *, first_after_s: float = 0.0, stop_within_s: float = 2.0) -> None:
        self._first_after_s = first_after_s
        self._stop_within_s = stop_within_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(self._stop_within_s)

    @property
    def is_stopping(self) -> bool:
        """Whether the block has ended, so that a call that is under way need not go on."""
        return self._stop.is_set()

    def repeat(self) -> float:
        """Do it once, and return after how many seconds to do it again. It has to raise nothing."""
        raise NotImplementedError

    def _run(self) -> None:
        wait_s = self._first_after_s
        while not self._stop.wait(wait_s):
            wait_s = self.repeat()
