"""Reading the end of a log and what is added to it, within bounds. Knows files and no tasks."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.domain.terminal_text import plain

MAX_TAIL_BYTES = 4 * 2**20
MAX_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Tail:
    """The last lines of a file; `end` is the offset to go on from, `cut` says that there is more before."""

    lines: tuple[str, ...]
    end: int
    cut: bool


def _clean(raw: bytes) -> str:
    return plain(raw.decode("utf-8", errors="replace"))


def read_tail(path: Path, *, lines: int, max_bytes: int = MAX_TAIL_BYTES) -> Tail:
    """Return the last `lines` lines within the last `max_bytes`. Raises FileNotFoundError."""
    with path.open("rb") as file:
        total = file.seek(0, os.SEEK_END)
        start = max(0, total - max_bytes)
        file.seek(start)
        data = file.read(total - start)
    pieces = data.split(b"\n")
    rest = pieces.pop()  # a line that has no end yet is left to `follow`
    if start and pieces:
        pieces = pieces[1:]  # its beginning was not read
    return Tail(
        tuple(_clean(piece) for piece in pieces[-lines:]), total - len(rest), cut=start > 0 or len(pieces) > lines
    )


class AddedLines:
    """Reads the lines that are added to a file, which need not exist yet.

    Args:
        path: The file.
        offset: Where to begin, in bytes.
    """

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._read_to = offset
        self._rest = b""

    @property
    def offset(self) -> int:
        """Where the first byte is that no line had yet."""
        return self._read_to - len(self._rest)

    def read(self) -> tuple[str, ...]:
        """Return the whole lines of the next piece of the file; a line without end comes in pieces."""
        return tuple(map(_clean, self.read_piece()[1]))

    def read_piece(self) -> tuple[int, list[bytes]]:
        """Return how many bytes the next piece has, and the lines that it completes."""
        piece = _read(self._path, self._read_to)
        self._read_to += len(piece)
        *whole, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > MAX_PIECE_BYTES:
            whole.append(self._rest)
            self._rest = b""
        return len(piece), whole

    def take_rest(self) -> str:
        """Return what has no end of line, once."""
        rest, self._rest = self._rest, b""
        return _clean(rest)


def follow(
    path: Path, *, offset: int, ended: Callable[[], bool], wait: Callable[[], None], idle_rounds: int
) -> Iterator[str]:
    """Yield lines as they are added, until the writer has ended or nothing was added for `idle_rounds` rounds.

    `offset` is where to begin, in bytes; the file need not exist yet. `ended` is asked before each reading, so that the
    writer's last lines are not missed; `wait` is called between rounds.
    """
    added = AddedLines(path, offset)
    idle = 0
    while True:
        last = ended()
        size, lines = added.read_piece()
        for line in lines:
            yield _clean(line)
        if size:
            idle = 0
            continue
        idle += 1
        if last or idle >= idle_rounds:
            break
        wait()
    if rest := added.take_rest():
        yield rest


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(MAX_PIECE_BYTES)
    except FileNotFoundError:  # not written yet
        return b""
