"""What tools leave in a workspace and nobody means as work: caches, installed packages, files of editors. Pure.

The patterns are git's: https://git-scm.com/docs/gitignore. The worker leaves out what matches them and is not tracked.
"""

import re
from collections.abc import Iterable

_CACHES = (
    *("__pycache__/", "*.pyc", "*.pyo", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".hypothesis/"),
    *(".tox/", ".nox/", ".ipynb_checkpoints/", ".coverage", ".eslintcache", ".stylelintcache", ".parcel-cache/"),
    *(".turbo/", ".sass-cache/", "*.tsbuildinfo", ".gradle/", ".phpunit.result.cache", ".npm/", ".pnpm-store/"),
)
_PACKAGES = ("node_modules/", "bower_components/", ".venv/", "*.egg-info/", ".eggs/")
_OTHERS = (".DS_Store", "Thumbs.db", "*.swp", "*.swo", "*~", ".#*")
LEFTOVERS: tuple[str, ...] = (*_CACHES, *_PACKAGES, *_OTHERS)
_NAME_SIGN = r"[\w.-]"


def leftover_patterns(words: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns of what is left out, without those whose name a task's own words have."""
    text = "\n".join(words)
    return tuple(pattern for pattern in LEFTOVERS if not _names(text, pattern.strip("*/#")))


def _names(text: str, name: str) -> bool:
    """Return whether a text has a name by itself, or as the end of one (`.pyc` in `app.pyc`)."""
    before = "" if name.startswith((".", "~")) else rf"(?<!{_NAME_SIGN})"
    return len(name) > 1 and re.search(rf"{before}{re.escape(name)}(?!{_NAME_SIGN})", text) is not None


def leftovers_note(names: Iterable[str]) -> str | None:
    """Return the sentence about what was left out of a change; None for nothing."""
    shown = ", ".join(f"`{name.replace('`', chr(39))}`" for name in names)
    return f"Left out of the change, as tools leave it behind: {shown}." if shown else None
