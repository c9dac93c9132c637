"""`squire doctor --fix`: what may be repaired without asking, since nothing of the user's is removed or changed by it.

Permissions, folders that are missing, what killed processes left behind, the settings' file where there is none.
"""

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.init import config_text, write, write_schema
from squire_pipelines.files import lock
from squire_pipelines.health.process_records import recorded_process
from squire_pipelines.home import Home, close_to_others, make_folder

NAME = "fix"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PART = re.compile(r"\A\..+\.[A-Za-z0-9_]{8}\.part")  # what `files.open_atomically` writes before it renames
_PART_AGE_S = 3600.0
_MAX_FILES = 1000


@dataclass(frozen=True, slots=True)
class Fix:
    """One repair.

    Args:
        action: What it does, as an order: `close /home/x to others`.
        apply: Does it. Raises OSError, ConfigError.
    """

    action: str
    apply: Callable[[], object]


def fixes_of(context: CliContext, *, now: Callable[[], float] = time.time) -> Iterator[Fix]:
    """Yield what can be repaired in the home. Nothing is changed by asking. Raises ConfigError."""
    home = context.home
    yield from _missing_folders(home)
    yield from _open_modes(home)
    yield from _leftovers(home, now())
    yield from _missing_settings(context)


def apply_fixes(fixes: Iterator[Fix], *, dry_run: bool) -> Iterator[Diagnosis]:
    """Make the repairs, or say with `dry_run` what they would be; one that fails does not keep the rest from it."""
    count = 0
    for fix in fixes:
        count += 1
        if dry_run:
            yield Diagnosis(NAME, "ok", f"would {fix.action}")
            continue
        try:
            fix.apply()
        except OSError as error:
            step = "do it as the owner of the files, or make the folder writable"
            yield Diagnosis(NAME, "warn", f"could not {fix.action}: {error.strerror or type(error).__name__}", step)
        else:
            yield Diagnosis(NAME, "ok", f"done: {fix.action}")
    if not count:
        yield Diagnosis(NAME, "ok", "there is nothing that can be repaired without you")


def _missing_folders(home: Home) -> Iterator[Fix]:
    for folder in dict.fromkeys((home.config, home.data, home.cache, home.state, home.run)):
        if not folder.exists():
            yield Fix(f"make the folder {folder}", partial(make_folder, folder))


def _open_modes(home: Home) -> Iterator[Fix]:
    """Yield what others may read or write of what is Squire's alone; what is somebody else's is left alone."""
    ledgers = [home.data / f"ledger.sqlite{end}" for end in ("", "-wal", "-shm")]
    secrets = [home.secret_store, *_files_in(home.secrets)]
    for path in dict.fromkeys((*home.private_paths(), *secrets, *ledgers)):
        with suppress(OSError):
            status = path.lstat()
            is_ours = status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode)
            if is_ours and status.st_mode & _OTHERS:
                mode = f"{stat.S_IMODE(status.st_mode) & ~_OTHERS:o}"
                yield Fix(f"chmod {mode} {path}", partial(close_to_others, path))


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())[:_MAX_FILES]
    except OSError:
        return []


def _leftovers(home: Home, now: float) -> Iterator[Fix]:
    """Yield what killed processes left behind: records of processes that have ended, files that were never renamed.

    Locks are the kernel's, and end with who holds them: their files mean nothing. While a Squire serves the home, its
    records are its own.
    """
    if _is_served(home):
        return
    for record in sorted(home.run.glob("*.pid"))[:_MAX_FILES]:
        if recorded_process(record) is None:
            yield Fix(f"remove {record}, whose process has ended", partial(record.unlink, missing_ok=True))
    own = (home.run, home.settings_state, home.migrations)
    for folder in dict.fromkeys((home.config, home.data, home.state, *own)):
        for path in _files_in(folder):
            if _PART.fullmatch(path.name) and now - path.lstat().st_mtime > _PART_AGE_S:
                action = f"remove {path}, which a killed process never finished"
                yield Fix(action, partial(path.unlink, missing_ok=True))


def _is_served(home: Home) -> bool:
    """Return whether a `squire dev`, `run` or `demo` holds the home's lock."""
    if not (home.run / "lock").exists():
        return False
    try:
        with lock(home.run / "lock"):
            return False
    except (TimeoutError, OSError):
        return True


def _missing_settings(context: CliContext) -> Iterator[Fix]:
    path = context.config_path
    if path.exists() or path.suffix != ".toml":
        return
    schema = path.with_suffix(".schema.json")

    def make() -> None:
        write(path, config_text((), schema=schema.name), force=False)
        write_schema(schema)

    yield Fix(f"write {path} with the defaults as comments", make)
