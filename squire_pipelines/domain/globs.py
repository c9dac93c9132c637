"""Patterns of paths, as the policy's settings have them. Pure."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache


@lru_cache(maxsize=1024)
def _compile(pattern: str, *, beneath: bool) -> re.Pattern[str]:
    out: list[str] = []
    rest = pattern.strip("/").casefold()
    for token in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", rest):
        match token:
            case "**/":
                out.append("(?:[^/]+/)*")
            case "**":
                out.append(".*")
            case "*":
                out.append("[^/]*")
            case "?":
                out.append("[^/]")
            case _:
                out.append(re.escape(token))
    return re.compile("".join(out) + ("(?:/.*)?" if beneath else ""), re.DOTALL)


def matches(path: str, patterns: Sequence[str], *, beneath: bool = True) -> str | None:
    """Return the first of `patterns` that `path` or a folder above it matches, in any case; None when none does.

    `*` and `?` stay within a folder, `**/` is any number of folders, `dir/**` is everything beneath `dir`.

    Args:
        path: Relative to the repository's root.
        patterns: In the order in which they are tried.
        beneath: Whether a pattern that names a folder holds for all beneath it.
    """
    folded = unicodedata.normalize("NFC", path).casefold()
    return next((pattern for pattern in patterns if _compile(pattern, beneath=beneath).fullmatch(folded)), None)
