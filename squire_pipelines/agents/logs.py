"""The agent's output on its way to `agent.log`: cut into lines, stripped, redacted, bounded, and never waiting."""

import re
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

STARTED_LINE = "squire: agent started"
TAIL_LINES = 40
TAIL_LINE_CHARS = 500
_MAX_LINE_BYTES = 1024 * 1024
# Control sequences (CSI, OSC and the like) as ECMA-48 has them, then every other control character but the tab.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """`text` without terminal control sequences and other control characters."""
    return text if text.isprintable() else _CONTROL.sub("", _ANSI.sub("", text))


class LogSink:
    """Takes chunks of output in any cut and writes clean lines, at most `limit_bytes` of them.

    Safe to feed from a thread. After the limit it goes on taking and throws away, so that the writer never blocks.

    Args:
        path: Written anew.
        limit_bytes: What is recorded; `overflowed` says when there was more.
        redact: Takes secrets out of a line before anything else sees it.
        on_line: Sees each clean line, until the log overflows.
    """

    def __init__(
        self,
        path: Path,
        *,
        limit_bytes: int,
        redact: Callable[[str], str] = str,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self._limit = limit_bytes
        self._redact = redact
        self._on_line = on_line
        self._lock = threading.Lock()
        self._rest = bytearray()
        self._written = 0
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._file: BinaryIO | None = path.open("wb", buffering=0)
        path.chmod(0o600)
        self.overflowed = False
        self.failure: OSError | None = None
        self.agent_started_at: datetime | None = None

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines, each cut at 500 characters."""
        with self._lock:
            return tuple(self._tail)

    def feed(self, chunk: bytes) -> None:
        """Take some output. Writes nothing once the sink is closed."""
        with self._lock:
            if self._file is None:
                return
            self._rest += chunk
            *lines, rest = self._rest.split(b"\n")
            # A line without an end is cut, or it would fill the memory.
            while len(rest) > _MAX_LINE_BYTES:
                lines.append(rest[:_MAX_LINE_BYTES])
                rest = rest[_MAX_LINE_BYTES:]
            self._rest = rest
            self._take(lines)

    def close(self) -> None:
        """Write what is left of the last line and close the file. May be repeated."""
        with self._lock:
            if self._file is None:
                return
            if self._rest:
                self._take([self._rest])
                self._rest = bytearray()
            self._file.close()
            self._file = None

    def _take(self, lines: list[bytearray]) -> None:
        if self.overflowed:
            lines = lines[-TAIL_LINES:]  # all that a flood is good for
        data = bytearray()
        for raw in lines:
            line = self._redact(clean(raw.decode("utf-8", errors="replace")))
            if self.agent_started_at is None and line == STARTED_LINE:
                self.agent_started_at = datetime.now(UTC)
            self._tail.append(line[:TAIL_LINE_CHARS])
            if self._on_line is not None:
                self._on_line(line)
            if self.overflowed or self.failure is not None:
                continue
            record = line.encode() + b"\n"
            if self._written + len(record) > self._limit:
                self.overflowed = True
                record = f"squire: the log is cut here: it reached its limit of {self._limit} bytes\n".encode()
            self._written += len(record)
            data += record
        self._record(data)

    def _record(self, data: bytearray) -> None:
        if not data or self._file is None:
            return
        try:
            self._file.write(data)
        except OSError as error:
            # The reader must go on taking, or the agent blocks; the supervisor asks for the failure.
            self.failure = error
