"""Writes the agent's output to `agent.log`: cut into lines, stripped, redacted and bounded; the writer never waits.

Beside it, `agent.log.times` says when which part was written, at most once a second.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

from squire_pipelines.domain.log_lines import TIMES_SUFFIX
from squire_pipelines.domain.terminal_text import plain

STARTED_LINE = "squire: agent started"
READY_LINE = "squire: the result is ready"
TAIL_LINES = 40
TAIL_LINE_CHARS = 500
_MAX_LINE_BYTES = 1024 * 1024
_TAIL_RAW_BYTES = 64 * 1024
_TIMES_EVERY_S = 1.0


class _LastLines:
    """Finds the place at which an earlier reading ended, in lines that are read again."""

    def __init__(self, last: Sequence[str]) -> None:
        self._last = deque(last)
        self._seen: deque[str] = deque(maxlen=len(last))

    def passes(self, line: str) -> bool:
        """Return whether this line is the last one of the earlier reading."""
        self._seen.append(line)
        return self._seen == self._last


def last_lines(path: Path, count: int = TAIL_LINES) -> tuple[str, ...]:
    """Return the last whole lines of a log that was written here. Raises OSError."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_RAW_BYTES))
        whole = file.read(_TAIL_RAW_BYTES).split(b"\n")[1:-1]
    return tuple(line.decode("utf-8", errors="replace") for line in whole[-count:])


def holds(chunks: Iterable[bytes], last: Sequence[str], *, redact: Callable[[str], str] = str) -> bool:
    """Return whether output has these lines one after the other, once it is cleaned as `LogSink` does."""
    place, rest = _LastLines(last), b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if any(place.passes(redact(plain(raw.decode("utf-8", errors="replace")))) for raw in lines):
            return True
        rest = rest[-_MAX_LINE_BYTES:]
    return False


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Where an agent's output goes, as the settings say.

    Args:
        redact: Takes secrets out of each line before anything else sees it.
        echo: Sees the output as it is recorded, in pieces of whole lines, for a second log; it must not block.
        truncate_log: Whether output beyond the limit is cut, with its last lines below a mark, rather than ending the
            agent.
        slow_start_s: A start that takes longer is logged with its slowest part.
        linger_s: A program that is still there so long after its last word is ended.
    """

    redact: Callable[[str], str] = str
    echo: Callable[[str], object] | None = None
    truncate_log: bool = False
    slow_start_s: float = 10.0
    linger_s: float = 20.0


DEFAULT_OUTPUT = OutputOptions()


def _open_unbuffered(path: Path, mode: Literal["ab", "wb"]) -> BinaryIO:
    return path.open(mode, buffering=0)


class LogSink:
    """Takes chunks of output in any cut and writes clean lines, at most `limit_bytes` of them.

    It may be fed from another thread. Beyond the limit it takes output and drops it, so that the writer never blocks.

    Args:
        path: Replaced, or added to when `append` is set.
        limit_bytes: What is recorded; `overflowed` says when there was more.
        output: Where the output goes too, and what becomes of it beyond the limit.
        on_line: Sees each clean line, until the log overflows.
        resume_after: The last lines of an earlier reading: they and everything before them are left out.
        open_file: Opens the file in a mode, without a buffer.
    """

    def __init__(
        self,
        path: Path,
        *,
        limit_bytes: int,
        output: OutputOptions = DEFAULT_OUTPUT,
        on_line: Callable[[str], None] | None = None,
        append: bool = False,
        resume_after: Sequence[str] = (),
        open_file: Callable[[Path, Literal["ab", "wb"]], BinaryIO] = _open_unbuffered,
    ) -> None:
        self._limit = limit_bytes
        self._output = output
        self._on_line = on_line
        self._echo = output.echo
        self._resume = _LastLines(resume_after) if resume_after else None
        self._lock = threading.Lock()
        # The unfinished line of each stream: the streams of a container come in pieces that know no lines.
        self._rests: dict[str, bytearray] = {}
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._file: BinaryIO | None = open_file(path, "ab" if append else "wb")
        self._written = self._file.tell()
        self._times = path.with_name(f"{path.name}{TIMES_SUFFIX}")
        self._timed_at = float("-inf")
        if not append:
            self._times.unlink(missing_ok=True)
        path.chmod(0o600)
        self.overflowed = False
        self.dropped_bytes = 0
        self.failure: OSError | None = None
        self.result_ready = threading.Event()
        self.agent_started_at: datetime | None = None
        self.agent_started: float | None = None

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines, each cut at 500 characters."""
        with self._lock:
            return tuple(self._tail)

    def feed(self, chunk: bytes, stream: str = "output") -> None:
        """Take some output of a stream, whose lines stay whole. Nothing is written once the sink is closed."""
        with self._lock:
            if self._file is None:
                return
            if self.overflowed:
                self._skim(chunk, stream)
                return
            *lines, rest = (self._rests.get(stream, bytearray()) + chunk).split(b"\n")
            # A line without an end is cut, or it would fill the memory.
            while len(rest) > _MAX_LINE_BYTES:
                lines.append(rest[:_MAX_LINE_BYTES])
                rest = rest[_MAX_LINE_BYTES:]
            self._rests[stream] = rest
            self._take(lines)

    def close(self) -> None:
        """Write the rest of the last line and the mark of a cut, then close the file. May be repeated."""
        with self._lock:
            if self._file is None:
                return
            for rest in filter(None, self._rests.values()):
                if self.overflowed:
                    self._note_tail([rest])
                else:
                    self._take([rest])
            self._rests.clear()
            if self.overflowed and self._output.truncate_log:
                cut_note = f"squire: {self.dropped_bytes} bytes were left out here; these are the last lines\n"
                self._record(bytearray((cut_note + "".join(f"{line}\n" for line in self._tail)).encode()))
            self._file.close()
            self._file = None

    def _skim(self, chunk: bytes, stream: str) -> None:
        # Of output beyond the limit only its length and its last lines are kept.
        self.dropped_bytes += len(chunk)
        rest = self._rests.get(stream, bytearray()) + chunk[-_MAX_LINE_BYTES:]
        *lines, rest = rest[-_MAX_LINE_BYTES:].split(b"\n")
        self._rests[stream] = rest
        self._note_tail(lines)

    def _clean(self, raw: bytearray) -> str:
        return self._output.redact(plain(raw.decode("utf-8", errors="replace")))

    def _note_tail(self, lines: list[bytearray]) -> None:
        # Cut first: what is shown of a line are its first characters, and a redactor costs by length.
        self._tail.extend(self._clean(raw[:_TAIL_RAW_BYTES])[:TAIL_LINE_CHARS] for raw in lines[-TAIL_LINES:])

    def _take(self, lines: list[bytearray]) -> None:
        data = bytearray()
        for number, raw in enumerate(lines):
            line = self._clean(raw)
            if self.agent_started_at is None and line == STARTED_LINE:
                self.agent_started_at, self.agent_started = datetime.now(UTC), time.monotonic()
            if line == READY_LINE:
                self.result_ready.set()
            if self._resume is not None:
                if self._resume.passes(line):
                    self._resume = None
                continue
            self._tail.append(line[:TAIL_LINE_CHARS])
            record = line.encode() + b"\n"
            if self._written + len(record) > self._limit:
                self.overflowed = True
                self.dropped_bytes += sum(len(dropped) + 1 for dropped in lines[number:])
                self._note_tail(lines[number + 1 :])
                data += f"squire: the log is cut here: it reached its limit of {self._limit} bytes\n".encode()
                break
            if self._on_line is not None:
                self._on_line(line)
            self._written += len(record)
            data += record
        self._record(data)

    def _note_time(self, offset: int) -> None:
        """Write down when the part that begins at `offset` is written, since an agent's lines have no time."""
        if time.monotonic() - self._timed_at < _TIMES_EVERY_S:
            return
        self._timed_at = time.monotonic()
        with contextlib.suppress(OSError), self._times.open("ab") as times:  # the log is what counts
            times.write(f"{offset} {time.time():.3f}\n".encode())

    def _record(self, data: bytearray) -> None:
        if not data or self._file is None or self.failure is not None:
            return
        try:
            self._note_time(self._file.tell())
            self._file.write(data)
        except OSError as error:
            # The reader must go on taking, or the agent blocks; the supervisor asks for the failure.
            self.failure = error
        if self._echo is not None:
            try:
                self._echo(data.decode())
            except (OSError, ValueError):  # closed, or nobody reads it: the file is what counts
                self._echo = None
