"""Cleaning strangers' text for a terminal. Pure functions only."""

import re
import unicodedata

from squire_pipelines.domain.hidden import is_unseen

# Control sequences (CSI, OSC and the like) as ECMA-48 has them; of an unfinished one only the text stays.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[PX^_][^\x1b\n]*(?:\x1b\\)?|[ -/]*[0-~])"
    r"|\x9b[0-?]*[ -/]*[@-~]|\x9d[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
)
_LINES_AND_TABS = frozenset("\n\t")


def _is_shown(character: str) -> bool:
    # Printable is all but the categories "other" (controls, format, surrogates, private use) and "separator".
    if character in _LINES_AND_TABS or unicodedata.category(character) == "Zs":
        return True
    return character.isprintable() and not is_unseen(character)  # fillers and selectors are printable to Python


def plain(text: str) -> str:
    """Return `text` without terminal control sequences and characters that are not shown; lines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(filter(_is_shown, _ESCAPES.sub("", text.replace("\r\n", "\n"))))


def one_line(text: str, *, limit: int = 500) -> str:
    """Return `text` cleaned like `plain` does, on one line of at most `limit` characters."""
    joined = " ".join(plain(text).split())
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"
