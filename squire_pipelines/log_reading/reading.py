"""Reads one log from a moment on: looks for the place by halving, and yields lines with their times, within bounds.

A line without a time of its own has that of the line before it, and belongs to it where it is part of a traceback.
"""

import os
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from squire_pipelines.domain.log_lines import LATEST_S, continues, line_time
from squire_pipelines.log_reading.sources import LogSource

MAX_ENTRY_BYTES = 64 * 1024
"""So much of a line, with those that belong to it, is kept; the rest is left out."""

SEARCH_BYTES = 64 * 1024
_BLOCK_BYTES = 2**20
_OUT_OF_ORDER_S = 10.0
"""Processes that write one file are that much out of order at most, which the search allows for."""

_CHECKED_BYTES = 32 * 2**20
_SAMPLE_BYTES = 4096
"""Before the place that halving leads to, so much is looked through at this step for times that are not in order."""

_MAX_TIMES_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A line, with those that belong to it.

    Args:
        at: Seconds since 1970, never before that of the entry before it.
        raw: Its bytes.
        source: Its file.
        own_at: What the line itself says.
    """

    at: float
    raw: bytes
    source: LogSource
    own_at: float


def read_entries(
    source: LogSource,
    *,
    since: float,
    start: int | None = None,
    end: int | None = None,
    needle: re.Pattern[bytes] | None = None,
) -> Iterator[LogEntry]:
    """Yield the entries of a log since a moment; some before it may be among them.

    Args:
        source: The log. One that is gone has no entries.
        since: Seconds since 1970.
        start: The byte to begin at; by default the place is looked for.
        end: The byte to end at; by default what is the file's end when it is reached.
        needle: What is in each entry that is asked for; parts of the file that do not have it are left out.
    """
    try:
        file = _open(source)
    except OSError:
        return
    with file:
        times = WrittenTimes.read(source)
        begin = _place(file, since, times) if start is None else start
        yield from _entries(file, source, _Part(begin, end, needle), times)


def end_of_lines(source: LogSource, start: int = 0, *, most: int = 4 * 2**20) -> int:
    """Return where the last whole line ends, within `most` bytes from `start`; `start` where none does.

    A line without end is taken for whole when it is too long to wait for.
    """
    try:
        file = _open(source)
    except OSError:
        return start
    with file:
        size = os.fstat(file.fileno()).st_size
        stop = min(size, start + most) if start else size
        low = max(start, stop - MAX_ENTRY_BYTES)
        file.seek(low)
        end = file.read(stop - low).rfind(b"\n")
        if end >= 0:
            return low + end + 1
        return stop if stop - start >= MAX_ENTRY_BYTES else start


def _open(source: LogSource) -> BinaryIO:
    file = os.fdopen(os.open(source.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    status = os.fstat(file.fileno())
    if (status.st_dev, status.st_ino) != source.key:
        file.close()
        raise FileNotFoundError(source.path)  # it was rotated since it was listed
    return file


class WrittenTimes:
    """When which part of a log was written, for a log whose lines have no time.

    Args:
        offsets: Where the parts begin, in bytes.
        times: When they were written, in seconds since 1970.
        default: The time where none is known.
    """

    def __init__(self, offsets: list[int], times: list[float], default: float) -> None:
        self._offsets = offsets
        self._times = times
        self._default = default

    @classmethod
    def read(cls, source: LogSource) -> "WrittenTimes | None":
        """Return the times of a log; None for one whose lines have their own."""
        if source.times is None:
            return None
        offsets, times = [], []
        try:
            with source.times.open("rb") as file:
                for line in file.read(_MAX_TIMES_BYTES).splitlines():
                    offset, _, time = line.partition(b" ")
                    if offset.isdigit() and time.replace(b".", b"", 1).isdigit() and float(time) < LATEST_S:
                        offsets.append(int(offset))
                        times.append(float(time))
        except OSError:
            pass  # of an attempt before there were such files
        return cls(offsets, times, _beginning(source.path, source.changed_at))

    def at(self, offset: int) -> float:
        """Return when the byte at `offset` was written."""
        place = bisect_right(self._offsets, offset)
        return self._times[place - 1] if place else self._default


def _beginning(log: Path, default: float) -> float:
    try:
        return min(default, (log.parent / "in" / "attempt.json").stat().st_mtime)
    except OSError:
        return default


def _place(file: BinaryIO, since: float, times: WrittenTimes | None) -> int:
    """Return where to begin to read: no line since the moment lies before it."""
    if times is not None:
        return 0
    low, high = 0, os.fstat(file.fileno()).st_size
    while high - low > SEARCH_BYTES:
        middle = (low + high) // 2
        at = _first_time(file, middle)
        if at is None or at >= since - _OUT_OF_ORDER_S:
            high = middle
        else:
            low = middle
    return _line_start(file, _before_set_back(file, low, since))


def _before_set_back(file: BinaryIO, end: int, since: float) -> int:
    """Return where to begin, `end` or before it: a clock that was set back writes old times after new ones.

    Halving then ends after the old ones, and lines of the moment asked for lie before them.
    """
    start = max(0, end - _CHECKED_BYTES)
    for offset in range(start, end, _BLOCK_BYTES):
        file.seek(offset)
        block = file.read(min(_BLOCK_BYTES, end - offset))
        for place in range(0, len(block), _SAMPLE_BYTES):
            line_start = block.find(b"\n", place) + 1
            line_end = block.find(b"\n", line_start)
            if line_start == 0 or line_end < 0:
                break
            at = line_time(block[line_start : min(line_end, line_start + MAX_ENTRY_BYTES)])
            if at is not None and at >= since:
                return max(0, offset + place - _SAMPLE_BYTES)
    return end


def _first_time(file: BinaryIO, offset: int) -> float | None:
    file.seek(offset)
    for raw in file.read(SEARCH_BYTES).split(b"\n")[1:]:
        if (at := line_time(raw)) is not None:
            return at
    return None


def _line_start(file: BinaryIO, offset: int) -> int:
    if offset == 0:
        return 0
    file.seek(offset)
    end = file.read(SEARCH_BYTES).find(b"\n")
    return offset if end < 0 else offset + end + 1


@dataclass(frozen=True, slots=True)
class _Part:
    """What is read of a file."""

    start: int
    end: int | None
    needle: re.Pattern[bytes] | None

    def next_block(self, file: BinaryIO, offset: int) -> tuple[int, int]:
        """Return where the next lines are that may have the needle, and up to where. The file is there then."""
        while True:
            file.seek(offset)
            block = file.read(_BLOCK_BYTES)
            whole = block.rfind(b"\n") + 1 or len(block)
            if not block or self.needle is None or self.needle.search(block):
                file.seek(offset)
                return offset, offset + whole
            offset += whole


def _entries(file: BinaryIO, source: LogSource, part: _Part, times: WrittenTimes | None) -> Iterator[LogEntry]:
    offset = checked = part.start
    file.seek(offset)
    at, own_at, raw = 0.0, 0.0, b""
    while part.end is None or offset < part.end:
        if part.needle is not None and offset >= checked:
            start, checked = part.next_block(file, offset)
            if raw and start != offset:
                yield LogEntry(at, raw, source, own_at)
                raw = b""
            offset = start
        if not (piece := file.readline(MAX_ENTRY_BYTES)):
            break
        line_at = times.at(offset) if times is not None else line_time(piece)
        offset += len(piece)
        if times is None and line_at is None and (raw or not piece.strip()) and continues(piece, raw):
            if raw and len(raw) + len(piece) <= MAX_ENTRY_BYTES:
                raw += piece
            continue
        if raw:
            yield LogEntry(at, raw, source, own_at)
        if line_at is None:
            line_at = own_at or _next_time(file, offset) or source.changed_at
        at, own_at, raw = max(at, line_at), line_at, piece
    if raw:
        yield LogEntry(at, raw, source, own_at)


def _next_time(file: BinaryIO, offset: int) -> float | None:
    place = file.tell()
    try:
        return _first_time(file, max(0, offset - 1))
    finally:
        file.seek(place)
