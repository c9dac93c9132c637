"""Lists what installed packages offer under our entry points, without loading any of it."""

import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points


def find_entry_points(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group. What is installed while the process runs counts from its next start."""
    return _entry_points(group, tuple(sys.path))


@cache
def _entry_points(group: str, _path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    # It reads the metadata of every package there is, and each agent's name in the settings asks for it.
    return tuple(entry_points(group=group))
