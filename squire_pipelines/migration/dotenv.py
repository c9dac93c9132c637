"""Files of variables (`.env`): their entries with their places, and taking single entries out. All other bytes stay."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""What editors of Windows put first; the old product passed over it."""

_NAME = rb"^(?:\xef\xbb\xbf)?[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)"
_ENTRY = re.compile(_NAME + rb"(?:[ \t]*=|:[ \t])[ \t]*", re.MULTILINE)
_ASSIGNMENT = re.compile(_NAME + rb"[ \t]*=", re.MULTILINE)
_QUOTED = {
    ord('"'): re.compile(rb'"((?:\\.|[^"\\])*)"', re.DOTALL),
    ord("'"): re.compile(rb"'([^']*)'", re.DOTALL),
    ord("`"): re.compile(rb"`([^`]*)`", re.DOTALL),
}
_COMMENT = re.compile(rb"(?:^|[ \t])#.*")
MIN_SEARCHED = 8
"""A shorter value is not searched for in comments, where it would stand by chance."""


@dataclass(frozen=True, slots=True)
class DotenvEntry:
    """One variable: its value, and where it stands, as bytes from `start` to `end` beginning in line `line`."""

    name: str
    value: bytes
    start: int
    end: int
    line: int


def parse_dotenv(data: bytes) -> tuple[DotenvEntry, ...]:
    """Return the variables of a file in their order; what is none is passed over."""
    return tuple(_entries(data))


def _entries(data: bytes) -> Iterator[DotenvEntry]:
    start, line = 0, 1
    while start < len(data):
        end = _line_end(data, start)
        if (match := _ENTRY.match(data, start, end)) is not None:
            value, end = _value_at(data, match.end(), end)
            yield DotenvEntry(match[1].decode("ascii"), value, start, end, line)
        line += data.count(b"\n", start, end)
        start = end


def _value_at(data: bytes, start: int, end: int) -> tuple[bytes, int]:
    """Return the value that begins at `start` in a line, and where its last line ends."""
    pattern = _QUOTED.get(data[start]) if start < end else None
    match = pattern.match(data, start) if pattern is not None else None
    # A quote that ends in a later line, behind what is a variable itself, was never closed.
    if match is not None and not any(_ASSIGNMENT.match(line) for line in match[1].split(b"\n")[1:]):
        value = match[1]
        if data[start] == ord('"'):
            value = value.replace(b'\\"', b'"').replace(b"\\\\", b"\\")
        return value, _line_end(data, match.end())
    return _COMMENT.sub(b"", data[start:end].rstrip(b"\r\n")).strip(), end


def _line_end(data: bytes, start: int) -> int:
    """Return where the line ends that goes on at `start`, its end included."""
    newline = data.find(b"\n", start)
    return len(data) if newline < 0 else newline + 1


def without_entries(data: bytes, entries: Collection[DotenvEntry]) -> bytes:
    """Return a file without these variables, and without comments that repeat their values."""
    pieces, start = [], 0
    for entry in sorted(entries, key=lambda entry: entry.start):
        pieces.append(data[start : entry.start])
        start = entry.end
    rest = b"".join((*pieces, data[start:]))
    values = [entry.value for entry in entries if len(entry.value) >= MIN_SEARCHED]
    return b"".join(
        line
        for line in rest.splitlines(keepends=True)
        if not (line.lstrip().startswith(b"#") and any(value in line for value in values))
    )
