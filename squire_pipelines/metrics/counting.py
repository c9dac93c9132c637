"""Counting in this process: `count`, `observe` and `note_latest`. They cost about a microsecond, and never fail.

A program says once where its counters lie (`start_counting`); before that, and where the folder cannot be written,
nothing is counted. The file is made with the first count, so that a process that counts nothing leaves none.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from squire_pipelines.metrics.family import Family
from squire_pipelines.metrics.folding import fold_if_many
from squire_pipelines.metrics.series import SUM, bucket_of, series_name
from squire_pipelines.metrics.values_file import ValuesFile


class ProcessCounters:
    """The counters of one process, for all its threads.

    Args:
        folder: Where their file is made.
        on_failure: Called once with the error when it cannot be made; raises nothing, and counts nothing.
    """

    def __init__(self, folder: Path, on_failure: Callable[[OSError], None]) -> None:
        self._folder = folder
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._file: ValuesFile | None = None
        self._failed = False
        self._places: dict[tuple[str, tuple[str | None, ...], str], int | None] = {}

    def add(self, family: Family, labels: tuple[str | None, ...], amount: float, part: str = "") -> None:
        """Add to a counter, or to one part of a histogram."""
        key = (family.name, labels, part)
        with self._lock:
            index = self._places[key] if key in self._places else self._place(family, key)
            if index is not None and self._file is not None:
                self._file.numbers[index] += amount

    def raise_to(self, family: Family, labels: tuple[str | None, ...], value: float) -> None:
        """Set what is to be the greatest value."""
        key = (family.name, labels, "")
        with self._lock:
            index = self._places[key] if key in self._places else self._place(family, key)
            if index is not None and self._file is not None and value > self._file.numbers[index]:
                self._file.numbers[index] = value

    def _place(self, family: Family, key: tuple[str, tuple[str | None, ...], str]) -> int | None:
        if self._file is None:
            self._file = self._make_file()
            if self._file is None:
                return None
        # Kept under its bounded labels alone: what strangers send must not fill the memory.
        bounded = (key[0], family.bounded(key[1]), key[2])
        if bounded not in self._places:
            self._places[bounded] = self._file.add_series(series_name(family, bounded[1], key[2]))
        return self._places[bounded]

    def _make_file(self) -> ValuesFile | None:
        if self._failed:
            return None
        try:
            fold_if_many(self._folder)
            return ValuesFile(self._folder)
        except OSError as error:
            self._failed = True
            self._on_failure(error)
            return None

    def close(self) -> None:
        """Let go of the file: the counters go on in a new one, if they go on."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None
            self._places.clear()

    def forget(self) -> None:
        """Leave the file to the process that this one was forked from."""
        self._lock = threading.Lock()  # another thread may have had it in that moment
        self.close()


_counters: ProcessCounters | None = None


def start_counting(folder: Path, *, on_failure: Callable[[OSError], None] = lambda _error: None) -> None:
    """Have this process count from now on, in a file in `folder`. A second call with the same one changes nothing.

    Programs call `observability.process_counts`, which logs a failure: the ledger counts too, and `observability`
    reads the ledger, so that no log can be written from here.

    Args:
        folder: Where the files of all processes of this home are.
        on_failure: Called once with the error when nothing can be written there; raises nothing, and counts nothing.
    """
    global _counters  # noqa: PLW0603 - one for each process, as its log
    if _counters is None or _counters._folder != folder:  # noqa: SLF001 - of this module
        stop_counting()
        _counters = ProcessCounters(folder, on_failure)


def stop_counting() -> None:
    """Count no more; what was counted stays."""
    global _counters  # noqa: PLW0603 - likewise
    if _counters is not None:
        _counters.close()
    _counters = None


def _after_fork() -> None:
    if _counters is not None:
        _counters.forget()


os.register_at_fork(after_in_child=_after_fork)


def count(family: Family, *labels: str | None, amount: float = 1.0) -> None:
    """Add to a counter. A label's value that is not among the family's is counted as `other`."""
    if _counters is not None:
        _counters.add(family, labels, amount)


def observe(family: Family, value: float, *labels: str | None) -> None:
    """Add one value, in the family's unit, to a histogram."""
    if _counters is not None:
        _counters.add(family, labels, 1.0, bucket_of(family, value))
        _counters.add(family, labels, value, SUM)


def note_latest(family: Family, value: float, *labels: str | None) -> None:
    """Set a gauge of which the greatest value counts, such as a last moment."""
    if _counters is not None:
        _counters.raise_to(family, labels, value)
