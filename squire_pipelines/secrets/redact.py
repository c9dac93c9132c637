"""Text made free of secrets: known values in all their usual forms, and whatever looks like a credential.

Pure string work. It is a net under the rule that secrets reach no text at all, not a replacement for it.
"""

import re
from collections.abc import Iterable, Iterator

from squire_pipelines.domain.credentials import MIN_KNOWN_LENGTH, PATTERNS, forms, known_pieces
from squire_pipelines.secrets.secret import Secret

MASK = "[redacted]"
# No credential that we know of is longer; a line longer than `MAX_HELD` is cut, and this much of it is held back.
_OVERLAP = 16 * 1024
MAX_HELD = 1024 * 1024

_ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\][^\x07\x1b\n]{0,4096}(?:\x07|\x1b\\)"  # OSC: titles, links
    r"|[PX^_][^\x1b\n]{0,4096}\x1b\\"  # DCS, SOS, PM, APC
    r"|[ -/]*[0-~])"
)
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
# A block is held until its end comes, up to this length: keys are shorter, and an agent may print endless ones.
_KEY_LENGTH = 32 * 1024
_HEADER = re.compile(r"(?i)((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?(?:basic|bearer|token)\s+)[^\s\"',;]+")
_BEARER = re.compile(r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}")
_STRADDLING = (_KEY_BLOCK, _HEADER, _BEARER, *(pattern for _, pattern in PATTERNS))
_ANSI_ROUNDS = 8


def strip_ansi(text: str) -> str:
    """`text` without terminal escape sequences, which could split a secret in two."""
    for _ in range(_ANSI_ROUNDS):  # what is left of nested sequences can be one again
        clean = _ANSI.sub("", text)
        if clean == text:
            break
        text = clean
    return text


class Redactor:
    """Hides secrets in text.

    Args:
        values: The known secrets; values of fewer than 6 characters are ignored, since they occur by chance.
    """

    def __init__(self, values: Iterable[str | Secret] = ()) -> None:
        plain = [value.reveal() if isinstance(value, Secret) else value for value in values]
        known = {form for piece in known_pieces(plain) for form in forms(piece) if len(form) >= MIN_KNOWN_LENGTH}
        ordered = sorted(known, key=lambda form: (-len(form), form))
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        # Forms with a line's end in them must not be cut at one.
        self._reach = max((len(form) for form in ordered if "\n" in form or "\r" in form), default=0)
        self.overlap = max(_OVERLAP, 2 * len(ordered[0]) if ordered else 0)

    def redact(self, text: str) -> str:
        """`text` without escape sequences and with each secret replaced by `[redacted]`."""
        return self._mask(strip_ansi(text))

    def _mask(self, text: str) -> str:
        if self._known:
            text = self._known.sub(MASK, text)
        text = _KEY_BLOCK.sub(MASK, text)
        text = _HEADER.sub(rf"\1{MASK}", text)
        text = _BEARER.sub(rf"\1{MASK}", text)
        for _, pattern in PATTERNS:
            text = pattern.sub(MASK, text)
        return text

    def stream(self) -> "RedactingStream":
        """A stateful cleaner for a text that comes in pieces."""
        return RedactingStream(self)

    def redact_stream(self, chunks: Iterable[str]) -> Iterator[str]:
        """The redacted text of `chunks`, whose borders may cut a secret in two."""
        stream = self.stream()
        for chunk in chunks:
            if clean := stream.feed(chunk):
                yield clean
        if clean := stream.close():
            yield clean

    def cut(self, text: str, *, max_held: int) -> int:
        """How many characters of `text` can be told now, although more will follow it.

        Whole lines, and nothing of a secret that may go on; but never so few that over `max_held` are held back.
        """
        if len(text) > max_held:
            cut = len(text) - self.overlap
        else:
            cut = text.rfind("\n", 0, max(0, len(text) - self._reach)) + 1
            opened = _KEY_BEGIN.search(text, max(0, text.rfind("-----END ")))
            if opened and len(text) - opened.start() <= _KEY_LENGTH:
                cut = min(cut, opened.start())
        for pattern in (*_STRADDLING, *([self._known] if self._known else [])):
            for match in pattern.finditer(text):
                if match.start() < cut < match.end() and len(match[0]) <= max(_KEY_LENGTH, self.overlap):
                    cut = match.start()
        return cut


class RedactingStream:
    """Text in by `feed`, clean text out; whole lines are given out as soon as they are complete."""

    def __init__(self, redactor: Redactor, *, max_held: int = MAX_HELD) -> None:
        self._redactor = redactor
        self._pieces: list[str] = []
        self._length = 0
        self._max_held = max(max_held, 4 * redactor.overlap)

    def feed(self, text: str) -> str:
        """Take a piece; return the clean text that can be told by now."""
        self._pieces.append(text)
        self._length += len(text)
        if "\n" not in text and self._length <= self._max_held:
            return ""
        held = strip_ansi("".join(self._pieces))
        cut = self._redactor.cut(held, max_held=self._max_held)
        self._pieces, self._length = [held[cut:]], len(held) - cut
        return self._redactor.redact(held[:cut])

    def close(self) -> str:
        """The clean rest."""
        rest = "".join(self._pieces)
        self._pieces, self._length = [], 0
        return self._redactor.redact(rest)
