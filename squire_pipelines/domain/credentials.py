"""What a credential looks like in text, for the diff policy, which refuses it, and for redaction, which hides it.

Patterns and pure searches only. Where secrets come from and how text is cleaned lives in `squire_pipelines.secrets`.
"""

import base64
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

# A known value shorter than this appears in ordinary text by chance, so it is neither hidden nor refused.
MIN_KNOWN_LENGTH = 6

# What looks ahead is bounded, and none reads over its own beginning: a text may repeat that for a megabyte.
# Lengths are open at the top on purpose: GitHub's installation tokens (`ghs_`) no longer have a fixed one.
PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a private key", re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")),
    ("a GitHub token", re.compile(r"(?<![A-Za-z0-9])gh[oprsu]_[A-Za-z0-9_]{16,}(?:[.-][A-Za-z0-9_-]+)*")),
    ("a GitHub token", re.compile(r"(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{16,}")),
    ("a GitLab token", re.compile(r"(?<![A-Za-z0-9])glpat-[A-Za-z0-9_-]{16,}")),
    ("a model provider's key", re.compile(r"(?<![A-Za-z0-9])sk-(?=[A-Za-z_-]{0,80}\d)[A-Za-z0-9_-]{20,}")),
    ("an AWS access key", re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])")),
    ("a Slack token", re.compile(r"(?<![A-Za-z0-9])xox[a-z]-[A-Za-z0-9-]{10,}")),
    ("a Google API key", re.compile(r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}")),
    ("a password in a URL", re.compile(r"(?<=://)[^\s/:@\"'<>{}$]{1,200}:[^\s/@\"'<>{}$]{3,}(?=@)")),
)

_KEYWORD = re.compile(
    r"(?i)(?:passw(?:or)?d|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)"
    r"[a-z0-9_-]{0,20}[\"']?\s{0,4}(?::=|=>|[:=])\s{0,4}[\"'`]?([A-Za-z0-9+/=_-]{20,200})"
)
_PLACEHOLDER = re.compile(r"(?i)example|placeholder|changeme|redacted|dummy|your[_-]")
_HEX = re.compile(r"[0-9a-fA-F]{32,}")
_MIXED_ENTROPY = 3.8
_HEX_ENTROPY = 3.0


def entropy(text: str) -> float:
    """Return Shannon's entropy of `text` in bits per character; 0 for the empty text."""
    total = len(text)
    return -sum(count / total * math.log2(count / total) for count in Counter(text).values())


def _looks_random(value: str) -> bool:
    if _PLACEHOLDER.search(value):
        return False
    if _HEX.fullmatch(value):
        return entropy(value) >= _HEX_ENTROPY
    digits = sum(character.isdigit() for character in value)
    mixed = digits > 1 and any(c.isupper() for c in value) and any(c.islower() for c in value)
    return mixed and entropy(value) >= _MIXED_ENTROPY


def known_pieces(values: Iterable[str]) -> tuple[str, ...]:
    """Return the texts to look for, longest first: each known value, and each long enough line of it."""
    pieces = {
        piece
        for value in values
        for piece in (value, value.strip(), *value.splitlines())
        if len(piece) >= MIN_KNOWN_LENGTH
    }
    return tuple(sorted(pieces, key=lambda piece: (-len(piece), piece)))


def has_credential(pattern: re.Pattern[str], text: str) -> bool:
    """Return whether a text has what a pattern of `PATTERNS` describes, other than an example that says so."""
    return any("EXAMPLE" not in match[0] for match in pattern.finditer(text))


def find_credentials(line: str) -> Iterator[str]:
    """Say what in a line of text, of any length, looks like a credential; never the value itself."""
    for name, pattern in PATTERNS:
        if has_credential(pattern, line):
            yield name
    if any(_looks_random(match[1]) for match in _KEYWORD.finditer(line)):
        yield "a value that looks like a credential"


def _base64_cores(data: bytes) -> Iterator[str]:
    """Yield the characters that `data` has in base64 wherever it begins within a longer text, in both alphabets."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + data).decode()
        first = (offset * 8 + 5) // 6
        last = (offset + len(data)) * 8 // 6
        core = encoded[first:last]
        yield core
        yield core.translate(str.maketrans("+/", "-_"))


def forms(value: str) -> Iterator[str]:
    """Yield the forms in which a text may contain `value`: as it is, in JSON, quoted for a URL, in hex, in base64."""
    data = value.encode("utf-8", "surrogatepass")
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    for text in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield text
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), text)
    yield data.hex()
    yield data.hex().upper()
    yield from _base64_cores(data)
