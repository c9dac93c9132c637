"""Looks for secrets where none may be: in all files below a folder, and in what processes were started with.

Each is looked for in the forms of `domain.credentials.forms`: plain, in JSON, quoted for a URL, in hex, in base64.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from squire_pipelines.domain.credentials import forms


def _pattern_of(values: Iterable[str]) -> re.Pattern[bytes]:
    known = {form.encode() for value in values for form in forms(value)}
    return re.compile(b"|".join(map(re.escape, sorted(known))))


def files_with(folder: Path, values: Iterable[str]) -> list[str]:
    """Return the files below `folder`, relative to it, whose name or content has one of the values."""
    pattern = _pattern_of(values)
    return sorted(_matching_files(folder, pattern))


def _matching_files(folder: Path, pattern: re.Pattern[bytes]) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        is_file = path.is_file() and not path.is_symlink()
        if pattern.search(name.encode()) or (is_file and pattern.search(path.read_bytes())):
            yield name


def processes_with(values: Iterable[str]) -> dict[int, str]:
    """Return the command lines of the processes that have one of the values in it or in their environment, by id."""
    pattern = _pattern_of(values)
    matching = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # A process may end, or be another user's, at any moment.
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            command = (folder / "cmdline").read_bytes()
            if pattern.search(command) or pattern.search((folder / "environ").read_bytes()):
                matching[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")[:200]
    return matching


def text_has(text: str, values: Iterable[str]) -> bool:
    """Return whether a text has one of the values."""
    return _pattern_of(values).search(text.encode()) is not None


def environment_of(pid: int) -> Mapping[str, str]:
    """Return the variables that a process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)
