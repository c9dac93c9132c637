"""Text made free of secrets: known values in all their usual forms, and whatever looks like a credential.

It is a net under the rule that secrets reach no text at all, not a replacement for it.
"""

import os
import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from squire_pipelines.domain.credentials import MIN_KNOWN_LENGTH, PATTERNS, forms, known_pieces
from squire_pipelines.domain.terminal_text import without_sequences
from squire_pipelines.secret_names import is_secret_variable
from squire_pipelines.secrets.secret import Secret, known_secrets

MASK = "[redacted]"

_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_HEADER = re.compile(r"(?i)((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?(?:basic|bearer|token)\s+)[^\s\"',;]+")
_BEARER = re.compile(r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}")

# The keys of log lines, and most of their values, come again and again.
_SHORT = 64
_KEPT = 1024


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
        self._short = lru_cache(maxsize=_KEPT)(self._search)

    def redact(self, text: str) -> str:
        """Return `text` without escape sequences and with each secret replaced by `[redacted]`."""
        return self._short(text) if len(text) <= _SHORT else self._search(text)

    def _search(self, text: str) -> str:
        text = without_sequences(text)  # one could split a secret in two
        text = _KEY_BLOCK.sub(MASK, text)  # before a known key's first line, which every key has, is masked
        if self._known:
            text = self._known.sub(MASK, text)
        text = _HEADER.sub(rf"\1{MASK}", text)
        text = _BEARER.sub(rf"\1{MASK}", text)
        for _, pattern in PATTERNS:
            text = pattern.sub(MASK, text)
        return text


def process_redactor() -> Redactor:
    """Return what hides the secrets that this process has met: in its environment, and every `Secret` made in it."""
    return _redactor_of((*known_secrets(), *_variables.values()))


class SecretVariables:
    """The secrets in this process's environment, of which every log line asks.

    Args:
        is_secret: Whether a variable of this name holds one; asked again only when other variables are set.
    """

    def __init__(self, is_secret: Callable[[str], bool] = is_secret_variable) -> None:
        self._is_secret = is_secret
        self._seen: tuple[str | bytes, ...] = ()
        self._secret: tuple[str, ...] = ()

    def values(self) -> tuple[str, ...]:
        """Return their values of now."""
        # The mapping itself decodes each name, which takes longer than the rest of a line.
        present = tuple(getattr(os.environ, "_data", os.environ))
        if present != self._seen:
            # In this order: another thread that takes the old names meanwhile looks again itself.
            self._secret = tuple(filter(self._is_secret, os.environ))
            self._seen = present
        return tuple(filter(None, (os.environ.get(variable, "").strip() for variable in self._secret)))


_variables = SecretVariables()


@lru_cache(maxsize=1)
def _redactor_of(values: tuple[str, ...]) -> Redactor:
    return Redactor(values)
