"""Standard output and standard error as they are: in any encoding, and with a reader that may have gone.

Imports at the top are kept to Python's own quick ones: every command begins with it.
"""

import codecs
import errno
import os
import select
import sys
from contextlib import suppress
from io import TextIOWrapper

READER_GONE = 141
"""The exit code of a command whose output nobody reads any more: 128 + SIGPIPE, as shells show it of other programs."""

_HANDLER = "squire-readable"
_ASCII = "squire-ascii"
"""ASCII by another name: into a stream of ASCII, which it takes for one set up by mistake, click writes UTF-8."""
_IN_ASCII = {
    "→": "->",
    "←": "<-",
    "⇄": "<->",
    "…": "...",
    "✓": "+",
    "✔": "+",
    "✗": "x",
    "✘": "x",
    "●": "*",
    "•": "*",
    "·": ".",
    "\u2013": "-",
    "—": "-",
    "\u2212": "-",
    "\u2018": "'",
    "\u2019": "'",
    "“": '"',
    "”": '"',
    "≤": "<=",
    "≥": ">=",
    "\u00d7": "x",
    "±": "+-",
    "\u00a0": " ",
}
_LINES, _BLOCKS, _BRAILLE = range(0x2500, 0x2580), range(0x2580, 0x25A0), range(0x2800, 0x2900)
_HORIZONTAL, _VERTICAL = "─━┄┅┈┉╌╍═╴╶╸╺", "│┃┆┇┊┋╎╏║╵╷╹╻"


def in_ascii(text: str) -> str:
    """Return a text with what is readable in place of each character that ASCII lacks; `?` for a foreign letter."""
    return "".join(character if character < "\x80" else _replacement(character) for character in text)


def _replacement(character: str) -> str:
    if character in _IN_ASCII:
        return _IN_ASCII[character]
    number = ord(character)
    if number in _LINES:
        return "-" if character in _HORIZONTAL else "|" if character in _VERTICAL else "+"
    if number in _BLOCKS:
        return "#"
    return "*" if number in _BRAILLE else "?"


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return in_ascii(error.object[error.start : error.end]), error.end


def accept_any_encoding() -> None:
    """Have standard output and error write what their encoding lacks in a readable way, where they would raise."""
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, TextIOWrapper):
            continue
        name = codecs.lookup(stream.encoding).name
        if name.startswith("utf"):
            continue
        codecs.register_error(_HANDLER, _replace)
        if name == "ascii":
            codecs.register(_find_ascii)
            stream.reconfigure(encoding=_ASCII, errors=_HANDLER)
        else:
            stream.reconfigure(errors=_HANDLER)


def _find_ascii(name: str) -> codecs.CodecInfo | None:
    if name.replace("_", "-") != _ASCII:
        return None
    known = codecs.lookup("ascii")
    return codecs.CodecInfo(
        known.encode,
        known.decode,
        name=_ASCII,
        incrementalencoder=known.incrementalencoder,
        incrementaldecoder=known.incrementaldecoder,
        streamreader=known.streamreader,
        streamwriter=known.streamwriter,
    )


def is_reader_gone(error: BaseException) -> bool:
    """Return whether an error came of a write to standard output or error that nobody reads, and of nothing else."""
    if not isinstance(error, OSError) or error.errno != errno.EPIPE:
        return False
    return bool(_broken_descriptors())


def _broken_descriptors() -> list[int]:
    """Return the descriptors of standard output and error of which nobody reads the other end."""
    descriptors = []
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # it is closed, or no file of the system
            descriptors.append(stream.fileno())
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLOUT)
    return [descriptor for descriptor, events in poll.poll(0) if events & (select.POLLERR | select.POLLHUP)]


def leave_quietly() -> None:
    """Write nothing more to a stream that nobody reads, also not what Python still holds of it at its end."""
    for descriptor in _broken_descriptors():
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def flush_output() -> None:
    """Write what Python still holds of standard output. Raises OSError when nobody reads it."""
    if sys.stdout is not None:
        sys.stdout.flush()
