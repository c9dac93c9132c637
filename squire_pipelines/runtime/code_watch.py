"""Which files a running Squire's code is made of, and when they have changed. Looks at files; loads nothing."""

import os
import site
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from squire_pipelines import agent_names, source_names
from squire_pipelines.installed_packages import find_entry_points

MAX_FILES = 20_000
"""Files that are looked at; those of more are not."""
SETTLED_S = 1.0
"""So long nothing may change before a change is taken: an editor or git writes many files one after another."""
LOOK_EVERY_S = 1.0

_OURS = Path(__file__).parents[1]
_PASSED_OVER = frozenset({"__pycache__", "node_modules"})
_COMPILED = (".pyc", ".pyo", ".so")
_Mark = tuple[int, int]


def code_folders() -> tuple[Path, ...]:
    """Return the folders of Squire's code and of its plug-ins that people edit: those of no installed wheel."""
    folders = [_OURS]
    for group in (agent_names.GROUP, source_names.GROUP):
        for point in find_entry_points(group):
            try:
                spec = find_spec(point.module.partition(".")[0])
            except (ImportError, ValueError):
                continue  # whoever loads it says so
            if spec is not None and spec.submodule_search_locations:
                folders += map(Path, spec.submodule_search_locations)
            elif spec is not None and spec.origin is not None:
                folders.append(Path(spec.origin))
    installed = [Path(path) for path in {*site.getsitepackages(), sysconfig.get_path("purelib")}]
    edited = (folder for folder in folders if not any(folder.is_relative_to(place) for place in installed))
    return tuple(dict.fromkeys(edited))


class CodeWatch:
    """Says which files have changed, once nothing has changed for a moment.

    Args:
        folders: Folders, or files, that are looked at with all that is below them.
        monotonic: Seconds.
    """

    def __init__(self, folders: Iterable[Path], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._folders = tuple(folders)
        self._monotonic = monotonic
        self._taken: Mapping[Path, _Mark] = dict(self._marks())
        self._last, self._since, self._due = self._taken, monotonic(), monotonic()

    def look(self) -> tuple[Path, ...]:
        """Return the files that changed, came or went since they were last returned; none while more may follow."""
        now = self._monotonic()
        if now < self._due:
            return ()
        self._due = now + LOOK_EVERY_S
        marks = dict(self._marks())
        if marks != self._last:
            self._last, self._since = marks, now
        if marks == self._taken or now - self._since < SETTLED_S:
            return ()
        changed = {path for path, _ in marks.items() ^ self._taken.items()}
        self._taken = marks
        return tuple(sorted(changed))

    def _marks(self) -> Iterator[tuple[Path, _Mark]]:
        count = 0
        for path in self._files():
            try:
                status = path.stat()
            except OSError:
                continue  # it has just gone
            yield path, (status.st_mtime_ns, status.st_size)
            count += 1
            if count >= MAX_FILES:
                return

    def _files(self) -> Iterator[Path]:
        for place in self._folders:
            if place.is_file():
                yield place
            for folder, folders, names in os.walk(place):
                folders[:] = sorted(name for name in folders if name not in _PASSED_OVER and not name.startswith("."))
                for name in sorted(names):
                    if not name.startswith(".") and not name.endswith(_COMPILED):
                        yield Path(folder) / name
