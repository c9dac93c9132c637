"""Patterns of paths, as the policy's settings and the rules of deliveries have them. Pure.

Who writes a path may choose it to be hard to match, so that the time is proportional to the path's length whatever the
pattern is: a regular expression that has several stars would try all ways to share the path among them.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]")
_MAX_STEPS = 1024
"""The steps that one pattern remembers; then it begins anew."""


class _Glob:
    """A pattern as an automaton: the set of places of it that a path may have reached, as bits of one number.

    Steps from one set to the next are remembered, since the same few come again and again.
    """

    def __init__(self, pattern: str) -> None:
        self._places: list[str] = []
        for piece in _TOKEN.findall(pattern):
            self._places += ["**/", "in folder"] if piece == "**/" else [piece]
        self._letters = frozenset(self._places) | {"/"}
        self._start = self._with_skipped(1)
        self._end = 1 << len(self._places)
        self._steps: dict[tuple[int, str], int] = {}

    def matches(self, path: str, *, beneath: bool) -> bool:
        """Return whether a path, or with `beneath` a folder above it, is what the pattern says."""
        places = self._start
        for letter in path:
            if beneath and letter == "/" and places & self._end:
                return True
            # All letters that the pattern does not name lead to the same places.
            step = places, letter if letter in self._letters else ""
            known = self._steps.get(step)
            if known is None:
                if len(self._steps) >= _MAX_STEPS:
                    self._steps.clear()
                known = self._steps[step] = self._next(*step)
            if not known:
                return False
            places = known
        return bool(places & self._end)

    def _next(self, places: int, letter: str) -> int:
        reached = 0
        for place, kind in enumerate(self._places):
            if not places >> place & 1:
                continue
            if kind == "**" or (kind in {"*", "in folder"} and letter != "/"):
                reached |= 1 << place
            elif kind == "in folder":  # the folder's name ends here
                reached |= 1 << (place - 1)
            elif kind == letter or (kind in {"?", "**/"} and letter != "/"):
                reached |= 1 << (place + 1)
        return self._with_skipped(reached)

    def _with_skipped(self, places: int) -> int:
        """Add the places behind stars that may stand for nothing."""
        for place, kind in enumerate(self._places):
            if places >> place & 1 and kind in _STARS:
                places |= 1 << (place + _STARS[kind])
        return places


_STARS = {"*": 1, "**": 1, "**/": 2}
"""How many places a star takes."""


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> _Glob:
    return _Glob(pattern.strip("/").casefold())


def matches(path: str, patterns: Sequence[str], *, beneath: bool = True) -> str | None:
    """Return the first of `patterns` that `path` or a folder above it matches, in any case; None when none does.

    `*` and `?` stay within a folder, `**/` is any number of folders, `dir/**` is everything beneath `dir`.

    Args:
        path: Relative to the repository's root.
        patterns: In the order in which they are tried.
        beneath: Whether a pattern that names a folder holds for all beneath it.
    """
    folded = unicodedata.normalize("NFC", path).casefold()
    return next((pattern for pattern in patterns if _compile(pattern).matches(folded, beneath=beneath)), None)
