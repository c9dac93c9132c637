"""The words of a task's title, by which a list finds it: how a title is cut into words.

Standard library only, since the quick list of the command line cuts its question the same way. The rows are
`wordlist`'s.
"""

import re
import unicodedata

MAX_WORDS = 32
"""Words of a title, and of a question, that count: the first ones."""

MAX_LETTERS = 64
"""A longer word counts by its first letters."""

_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> tuple[str, ...]:
    """The different words of `text` in the order of their first appearance, small and in one Unicode form.

    Letters and digits make words; everything else only parts them, so that no sign in a question is syntax.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    found = dict.fromkeys(match[0][:MAX_LETTERS] for match in _WORD.finditer(plain))
    return tuple(found)[:MAX_WORDS]
