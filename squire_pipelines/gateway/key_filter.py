"""Keeps the provider's key out of what an agent is answered, whatever the provider repeats: headers, bodies, streams.

It stands at the last place before the agent. A stream is cleaned piece by piece: of each piece the end that may be the
beginning of the key, in any of its forms, is held back until the next piece shows whether it is.
"""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from html.entities import html5
from typing import Any

from squire_pipelines.domain.credentials import MIN_KNOWN_LENGTH, forms

MASK = b"[redacted]"
_LENGTH = b"content-length"
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
# What an escaped character begins with, in JSON, a URL and HTML.
_ESCAPES = (b"\\", b"%", b"&")


_MAX_ZEROS = 7
# A search for all forms of a longer key, such as a signed token of a few thousand characters, would take many seconds
# to prepare. Of such a one the end is what nobody can guess.
_MOST_CHARS = 256
_TAIL_CHARS = 64
_LONGEST_WAY = 40  # the longest name of a character in HTML has 33 letters
# HTML has no name for "-" itself, but two for the hyphen that looks alike.
_NAMES_BY_CHARACTER: dict[str, list[str]] = {"-": ["hyphen;", "dash;"]}
for _name, _character in html5.items():
    _NAMES_BY_CHARACTER.setdefault(_character, []).append(_name.lower())


def _ways_of(byte: int) -> tuple[bytes, ...]:
    """Return how a character of a key may be written, in small letters; of two ways the longer one is first."""
    code = f"{byte:02x}"
    numbers = [f"&#{'0' * zeros}{number}" for zeros in range(_MAX_ZEROS + 1) for number in (str(byte), "x" + code)]
    numbers += [f"&#x{'0' * zeros}{code}" for zeros in range(1, _MAX_ZEROS + 1)]
    references = (
        [f"{number};" for number in numbers] + numbers + [f"&{n}" for n in _NAMES_BY_CHARACTER.get(chr(byte), [])]
    )
    backslashes = [b"\\" * count for count in (3, 2, 1)]  # JSON within JSON has more than one
    written = [backslash + f"u00{code}".encode() for backslash in backslashes]
    written += [backslash + bytes([byte]).lower() for backslash in backslashes]
    ways = {*written, f"%{code}".encode(), f"%25{code}".encode(), *(reference.encode() for reference in references)}
    return (bytes([byte]), *sorted(ways, key=lambda way: (-len(way), way)))


def _with_escapes(form: str) -> set[str]:
    """Return an encoding of the key with its `/`, `+` and `=` as JSON, a URL or HTML may escape them."""
    signs = [sign for sign in "/+=" if sign in form]
    written = {form, form.replace("/", "\\/"), form.replace("/", "\\\\/")}
    for way in ("%{:02X}", "%{:02x}", "\\u{:04x}", "\\u{:04X}", "&#{};", "&#x{:x};", "&#x{:X};"):
        escaped = form
        for sign in signs:
            escaped = escaped.replace(sign, way.format(ord(sign)))
        written.add(escaped)
    return written


class KeyFilter:
    """Cleans answers.

    Args:
        key: The provider's. None, or a very short one that occurs by chance, hides nothing; of a very long one the
            last characters are hidden.
    """

    def __init__(self, key: str | None) -> None:
        hidden = key if key is not None and len(key) >= MIN_KNOWN_LENGTH else ""
        hidden = hidden if len(hidden) <= _MOST_CHARS else hidden[-_TAIL_CHARS:]
        # Encodings of the whole key as they are; and the key with each character in any of its ways.
        self._forms = sorted(
            {way.encode() for form in forms(hidden) for way in _with_escapes(form)} if hidden else (),
            key=lambda form: -len(form),
        )
        self._ways = [_ways_of(byte) for byte in hidden.encode()]
        characters = (b"|".join(b"(?i:%b)" % re.escape(way) for way in ways[1:]) for ways in self._ways)
        pairs = zip(self._ways, characters, strict=True)
        escaped = b"".join(b"(?:%b|%b)" % (re.escape(ways[0]), rest) for ways, rest in pairs)
        self._any = re.compile(b"|".join((*map(re.escape, self._forms), escaped)))
        every = b"".join((*self._forms, *(way for ways in self._ways for way in ways)))
        self._alphabet = bytes(sorted({*every, *every.upper()}))
        self._longest = max((sum(max(map(len, ways)) for ways in self._ways), *map(len, self._forms)), default=0)

    def clean(self, text: bytes) -> bytes:
        """Return a whole text without the key."""
        return self._any.sub(MASK, text) if self._may_have(text) else text

    def clean_piece(self, text: bytes) -> tuple[bytes, bytes]:
        """Return what of a text that goes on is sure, without the key, and the end that waits for what follows.

        That end may be the beginning of the key, or a form of it that what follows makes a longer one.
        """
        passed, position = b"", 0
        for match in self._any.finditer(text) if self._may_have(text) else ():
            passed += text[position : match.start()]
            if self._may_begin(text[match.start() :]):
                return passed, text[match.start() :]
            passed, position = passed + MASK, match.end()
        rest = text[position:]
        length = self._held_length(rest)
        return passed + rest[: len(rest) - length], rest[len(rest) - length :]

    def _may_have(self, text: bytes) -> bool:
        """Return whether a text is worth a search, which is slow."""
        return bool(self._forms) and any(sign in text for sign in (*_ESCAPES, *self._forms))

    def _held_length(self, text: bytes) -> int:
        """Return how many bytes at the end of a text without the key may be its beginning."""
        tail = text[len(text.rstrip(self._alphabet)) :][-(self._longest - 1) :] if self._forms else b""
        return next((len(tail) - start for start in range(len(tail)) if self._may_begin(tail[start:])), 0)

    def _may_begin(self, tail: bytes) -> bool:
        if any(form.startswith(tail) for form in self._forms):
            return True
        for character, *escapes in self._ways:
            if character in b"\\%&":
                return True  # it may be itself or begin another: wait for more
            if tail.startswith(character):
                tail = tail[1:]
            else:
                folded = tail[:_LONGEST_WAY].lower()
                way = next((way for way in escapes if folded.startswith(way[: len(folded)])), None)
                if way is None:
                    return False
                tail = tail[len(way) :]
            if not tail:
                return True
        return False


class CleanAnswer:
    """Sends one answer to the agent without the key: `send` of ASGI, with the key taken out of all that it is given.

    Args:
        key_filter: Knows the key of the provider that is asked; may be set to another's before the answer begins.
        send: Of the server.
        on_text: Called with each piece of the body as it is sent.
    """

    def __init__(self, key_filter: KeyFilter, send: Send, on_text: Callable[[bytes], None]) -> None:
        self.key_filter = key_filter
        self._send = send
        self._on_text = on_text
        self._start: Message | None = None
        self._rest = b""

    async def __call__(self, message: Message) -> None:
        """Send a message. The start of an answer with a length waits for its body, which may become shorter."""
        if message["type"] == "http.response.start":
            headers = [(name, self.key_filter.clean(value)) for name, value in message["headers"]]
            self._start = {**message, "headers": headers}
            if not any(name == _LENGTH for name, _ in headers):
                await self._send_start([])
            return
        more = bool(message.get("more_body", False))
        text = self._rest + message.get("body", b"")
        text, self._rest = self.key_filter.clean_piece(text) if more else (self.key_filter.clean(text), b"")
        await self._send_start([] if more else [(_LENGTH, str(len(text)).encode())])
        if text or not more:
            self._on_text(text)
            await self._send({"type": "http.response.body", "body": text, "more_body": more})

    async def _send_start(self, length: list[tuple[bytes, bytes]]) -> None:
        if self._start is None:
            return
        start, self._start = self._start, None
        headers = [(name, value) for name, value in start["headers"] if name != _LENGTH]
        await self._send({**start, "headers": headers + length})
