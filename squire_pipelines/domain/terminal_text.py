"""Text without what a terminal acts upon: the one place that knows control sequences. Pure.

Three degrees, each within the next: `without_sequences` takes out control sequences alone, which is what may split a
secret in two; `plain` also takes out what is not shown; `one_line` also has no line breaks and a bounded length.
"""

import re
import unicodedata

from squire_pipelines.domain.hidden import is_unseen

# As ECMA-48 has them, begun by ESC or by one character of the C1 set. A string without its end is none: a terminal
# would swallow what follows, but here only its beginning goes, so that nobody can hide the rest of a line.
# No alternative reads over the beginning of another, so that the time is proportional to the length.
_SEQUENCE = re.compile(
    # CSI: colours, cursor. A terminal acts on controls within it and goes on; ESC, CAN and SUB end it.
    r"(?:\x1b\[|\x9b)[ -?\x00-\x09\x0b-\x17\x19\x1c-\x1f\x7f]*(?:[@-~\x18\x1a]|(?=\x1b))"
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x80-\x9f\n]*(?:\x07|\x1b\\|\x9c)"  # OSC: titles, links
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x80-\x9f\n]*(?:\x1b\\|\x9c)"  # DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]"
)
_FIRST = re.compile("[\x1b\x90\x98\x9b\x9d\x9e\x9f]")
_ROUNDS = 8
_LINES_AND_TABS = frozenset("\n\t")


def without_sequences(text: str) -> str:
    """Return `text` without control sequences, also those that only come about when others are taken out."""
    for _ in range(_ROUNDS):
        if not _FIRST.search(text):
            break
        shorter = _SEQUENCE.sub("", text)
        if shorter == text:
            break
        text = shorter
    return text


def _is_shown(character: str) -> bool:
    # Printable is all but the categories "other" (controls, format, surrogates, private use) and "separator".
    if character in _LINES_AND_TABS or unicodedata.category(character) == "Zs":
        return True
    return character.isprintable() and not is_unseen(character)  # fillers and selectors are printable to Python


def plain(text: str) -> str:
    """Return `text` without control sequences and what is drawn as nothing (`is_unseen`); lines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    text = without_sequences(text.replace("\r\n", "\n"))
    # Each character is looked at once, however often it occurs: logs are long.
    return text.translate({ord(character): None for character in set(text) if not _is_shown(character)})


def one_line(text: str, *, limit: int = 500) -> str:
    """Return `text` cleaned like `plain` does, on one line of at most `limit` characters."""
    joined = " ".join(plain(text).split())
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"
