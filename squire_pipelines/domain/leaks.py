"""What must not be published, wherever it stands and however it is written: secrets, the canary, credentials. Pure.

Everything that a publication would show goes through one search, as one stream: a secret whose halves stand in two
files, one of them encoded, is found like one that stands in one line.
"""

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from squire_pipelines.domain import canary
from squire_pipelines.domain.change import ChangedFile, Decision, Finding, JudgedTask, Piece, Verdict
from squire_pipelines.domain.credentials import PATTERNS, find_credentials, has_credential, known_pieces
from squire_pipelines.domain.decoding import Budget, Decoded, TooMuchToSearchError, expand

PIECE_LENGTH = 8
"""Characters in a row, letters and digits, that count as a piece of a secret."""

KNOWN_SHARE = 0.7
"""The share of a known secret that must be there: words of a pass phrase alone are no secret."""

_ALNUM = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NOT_ALNUM = bytes(sorted(set(range(256)) - set(_ALNUM)))
_LOWER = bytes(range(256)).lower()
_MIN_PLAIN_LENGTH = 12
_NOT_WHEN_DECODED = "a password in a URL"  # joined literals look like one by chance


def plain(data: bytes) -> bytes:
    """Return the ASCII letters and digits alone, in lower case, so that signs, blanks and case hide nothing."""
    return data.translate(_LOWER, _NOT_ALNUM)


@dataclass(slots=True)
class _Secret:
    """One secret that is looked for, and which of its letters and digits were seen."""

    rule: str
    exact: bytes
    letters: bytes
    seen: set[int] = field(default_factory=set)

    @property
    def is_canary(self) -> bool:
        return self.rule == canary.RULE

    @property
    def is_complete(self) -> bool:
        if self.is_canary:
            return bool(self.seen)
        # One without letters and digits, such as a phrase in another script, is looked for as it stands.
        return bool(self.letters) and len(self.seen) >= KNOWN_SHARE * len(self.letters)

    def variants(self) -> Iterator[tuple[bytes, Sequence[int]]]:
        """Yield the letters as they may stand, each with the places that they have in the secret."""
        places = range(len(self.letters))
        yield self.letters, places
        yield self.letters[::-1], places[::-1]
        if self.is_canary:
            rotated = codecs.encode(self.letters.decode(), "rot13").encode()
            yield rotated, places
            yield rotated[::-1], places[::-1]
            for start in range(2):
                yield self.letters[start::2], places[start::2]


class LeakSearch:
    """The one search through all that a publication would show. What was seen adds up from piece to piece."""

    def __init__(self, task: JudgedTask) -> None:
        self._budget = Budget()
        self._looked_at: set[bytes] = set()
        self._secrets = [
            _Secret("secret", value.encode("utf-8", "surrogatepass"), plain(value.encode("utf-8", "surrogatepass")))
            for value in known_pieces(task.known_secrets)
        ]
        if task.attempt_id is not None:
            # Its first letters say what it is and not which.
            letters = canary.canary_for(task.attempt_id).removeprefix(canary.PREFIX).encode()
            self._secrets.append(_Secret(canary.RULE, letters, plain(letters)))
        self._pieces: dict[bytes, list[tuple[_Secret, Sequence[int]]]] = {}
        for secret in self._secrets:
            # A shorter value appears by chance in text from which all punctuation was removed.
            for letters, places in secret.variants() if len(secret.letters) >= _MIN_PLAIN_LENGTH else ():
                for start in range(len(letters) - PIECE_LENGTH + 1):
                    end = start + PIECE_LENGTH
                    self._pieces.setdefault(letters[start:end], []).append((secret, places[start:end]))

    def look(self, piece: Piece) -> Iterator[Finding]:
        """Yield the findings of a piece, and of secrets that are complete with it. They never repeat the value."""
        if piece.data in self._looked_at and not piece.new_lines:
            return
        self._looked_at.add(piece.data)
        names: set[str] = set()
        try:
            for node in expand(piece.data, self._budget):
                yield from self._look_at(node, piece)
                if piece.new_lines and node.depth:
                    names |= _credentials(node.data)
        except TooMuchToSearchError:
            message = "holds more than can be searched for secrets, packed or encoded"
            yield Finding("unsearched", piece.path, None, message, Decision.REJECT)
        if piece.new_lines:
            yield from _find_written(piece, names)

    def _look_at(self, node: Decoded, piece: Piece) -> Iterator[Finding]:
        letters = plain(node.data)
        for start in range(len(letters) - PIECE_LENGTH + 1):
            for secret, places in self._pieces.get(letters[start : start + PIECE_LENGTH], ()):
                secret.seen.update(places)
        for secret in tuple(self._secrets):
            if secret.is_complete or _is_in(secret, node.data, letters):
                self._secrets.remove(secret)  # told once
                yield _leak(secret.rule, piece)


def _is_in(secret: _Secret, data: bytes, letters: bytes) -> bool:
    if secret.exact in data or secret.exact[::-1] in data:
        return True
    is_long = len(secret.letters) >= _MIN_PLAIN_LENGTH
    return is_long and (secret.letters in letters or secret.letters[::-1] in letters)


def _credentials(data: bytes) -> set[str]:
    """Say what a decoded text has that looks like a credential."""
    text = data.decode("latin-1")
    return {name for name, pattern in PATTERNS if name != _NOT_WHEN_DECODED and has_credential(pattern, text)}


def _find_written(piece: Piece, encoded: set[str]) -> Iterator[Finding]:
    """Find what looks like a credential in the lines of a new text, and tell what its encodings hid."""
    written: set[str] = set()
    for number, line in piece.new_lines:
        for name in dict.fromkeys(find_credentials(line)):
            written.add(name)
            yield Finding("secret", piece.path, number, f"{piece.verb} {name}", Decision.REJECT)
    for name in sorted(encoded - written):
        yield Finding("secret", piece.path, None, f"{piece.verb} {name}, encoded", Decision.REJECT)


def _leak(rule: str, piece: Piece) -> Finding:
    message = canary.MESSAGE if rule == canary.RULE else "a secret of this installation"
    return Finding(rule, piece.path, None, f"{piece.verb} {message}", Decision.REJECT)


def pieces_of(files: Sequence[ChangedFile]) -> Iterator[Piece]:
    """Yield what changed files show by themselves: their added lines, their links' targets, their paths."""
    for file in files:
        if file.added_lines:
            yield Piece.of_lines(file.path, file.added_lines)
    paths = [(number, file.path) for number, file in enumerate(files, 1)]
    yield Piece.of_text("the paths of the files contain", "\n".join(path for _, path in paths))


def search(pieces: Iterator[Piece], task: JudgedTask) -> list[Finding]:
    """Search all pieces of one publication."""
    leaks = LeakSearch(task)
    return [finding for piece in pieces for finding in leaks.look(piece)]


def judge_text(text: str, task: JudgedTask) -> Verdict:
    """Judge a text that is to be shown on GitHub, such as a pull request's: no secret and no canary may be in it."""
    return Verdict.of(search(iter([Piece.of_text("the text of the pull request contains", text)]), task))
