"""Splits text into the words by which a list of tasks finds titles.

Standard library only, since `squire tasks list` splits its question without SQLAlchemy.
"""

import re
import unicodedata

MAX_WORDS = 32
"""Only so many words of a title, and of a question, count: the first ones."""

MAX_LETTERS = 64
"""A longer word counts by its first letters."""

_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> tuple[str, ...]:
    """Return the different words of `text` in order, in lower case and in one Unicode form.

    Letters and digits make words; everything else only separates them, so that no sign in a question is syntax.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = dict.fromkeys(match[0][:MAX_LETTERS] for match in _WORD.finditer(plain))
    return tuple(words)[:MAX_WORDS]
