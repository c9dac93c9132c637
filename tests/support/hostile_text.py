"""Text that acts upon a terminal, and what of it may not be in any output."""

import unicodedata

from hypothesis import strategies as st

_PIECES = (
    "\x1b]0;title\x07",
    "\x1b]8;;https://evil.example\x1b\\",
    "\x1b[2J",
    "\x1b[31m",
    "\x9b2J",
    "\x9d0;title\x9c",
    "\x1b",
    "\r",
    "\x08",
    "\x7f",
    "\u202e",
    "\u2066",
    "\u200b",
    "\u2028",
    "\U000e0041",
    "\U000e0101",
    "\ufe0f",
    "\u3164",
    "\u034f",
    "=1+1",
    "@SUM(A1)",
    "'",
    ",",
    '"',
    "\n",
    "[bold]",
)
HOSTILE = st.lists(st.sampled_from(_PIECES) | st.text(max_size=8), max_size=12).map("".join)
"""Any text, with escape sequences and other characters that act upon a terminal far more often than by chance."""


UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u2800\u3164\uffa0") | {
    chr(code) for block in (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)) for code in block
}
"""Letters, marks and symbols that are drawn as nothing."""


def hidden_characters(output: str) -> list[str]:
    """Return the characters of an output that a terminal acts upon or does not show, but for line feeds and tabs."""
    unseen = sorted(set(output) & UNSEEN)
    kinds = {character: unicodedata.category(character) for character in set(output) - {"\n", "\t"}}
    return unseen + sorted(character for character, kind in kinds.items() if kind[0] == "C" or kind in {"Zl", "Zp"})
