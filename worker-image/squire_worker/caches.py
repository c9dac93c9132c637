"""Makes package caches usable that the host mounts read-only.

Each tool gets a private folder, where its small index files are copies and the packages' content is links into the
shared cache: nothing written there reaches another attempt.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from squire_worker.contract import note

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED = Path("/var/cache/squire")
PRIVATE = ".squire-cache"
MAX_COPIED_BYTES = 96 * 2**20
MAX_COPIED_FILES = 50_000


class TooLargeError(Exception):
    """The index of a cache is larger than what is copied."""


class _Budget:
    def __init__(self) -> None:
        self.files, self.bytes = MAX_COPIED_FILES, MAX_COPIED_BYTES

    def copy(self, source: str, target: str) -> str:
        """As shutil.copy, within the bounds; raises TooLargeError."""
        self.files -= 1
        self.bytes -= os.lstat(source).st_size
        if self.files < 0 or self.bytes < 0:
            raise TooLargeError
        shutil.copyfile(source, target)  # without its mode: what is read-only on the host has to be writable here
        return target


def _overlay(shared: Path, private: Path, linked: Callable[[str], bool], left_out: Callable[[str], bool]) -> None:
    """Fill `private` with a link or a copy of each entry of `shared` that is not left out."""
    budget = _Budget()
    private.mkdir(parents=True)
    for entry in sorted(shared.iterdir()):
        target = private / entry.name
        if left_out(entry.name):
            continue
        if linked(entry.name):
            target.symlink_to(entry)
        elif entry.is_symlink():
            target.symlink_to(entry.readlink())
        elif entry.is_dir():
            shutil.copytree(entry, target, symlinks=True, copy_function=budget.copy)
            for folder in [target, *(path for path in target.rglob("*") if path.is_dir() and not path.is_symlink())]:
                folder.chmod(0o755)
        elif entry.is_file():
            budget.copy(str(entry), str(target))


def _npm(shared: Path, private: Path) -> dict[str, str]:
    """cacache: `index-v5` says what there is, `content-v2` holds it by hash."""
    _overlay(
        shared / "_cacache",
        private / "_cacache",
        linked=lambda name: name.startswith("content-"),
        left_out=lambda name: name == "tmp",
    )
    return {"npm_config_cache": str(private), "npm_config_offline": "true"}


def _pnpm(shared: Path, private: Path) -> dict[str, str]:
    """The store's `files` hold content by hash; `projects` are links to whoever used it."""
    private.mkdir(parents=True)
    for version in sorted(path for path in shared.iterdir() if path.is_dir()):
        _overlay(
            version,
            private / version.name,
            linked=lambda name: name == "files",
            left_out=lambda name: name == "projects",
        )
    own = {"store_dir": str(private), "package_import_method": "copy", "offline": "true"}
    return {f"{tool}_config_{name}": value for name, value in own.items() for tool in ("npm", "pnpm")}


def _pip(shared: Path, _private: Path) -> dict[str, str]:
    """A folder of wheels. pip's own cache is of no use without a network: it asks the index what is new."""
    return {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(shared),
        "UV_FIND_LINKS": str(shared),
        "UV_OFFLINE": "1",
        "UV_LINK_MODE": "copy",
    }


def _uv(shared: Path, private: Path) -> dict[str, str]:
    """`archive-v0` holds the unpacked wheels, to which the others point; its interpreters are another machine's."""
    _overlay(
        shared,
        private,
        linked=lambda name: name.startswith("archive-"),
        left_out=lambda name: name.startswith(("interpreter-", "git-", "builds-", "environments-", ".lock")),
    )
    return {"UV_CACHE_DIR": str(private), "UV_OFFLINE": "1", "UV_LINK_MODE": "copy"}


PREPARE = {"npm": _npm, "pip": _pip, "pnpm": _pnpm, "uv": _uv}


def prepare(home: Path, shared: Path = SHARED) -> dict[str, str]:
    """Return the environment with which npm, pnpm, pip and uv use what is mounted below `shared`."""
    environment: dict[str, str] = {}
    for kind, make in PREPARE.items():
        if not (shared / kind).is_dir():
            continue
        try:
            environment.update(make(shared / kind, home / PRIVATE / kind))
        except TooLargeError:
            bounds = f"{MAX_COPIED_BYTES} bytes or {MAX_COPIED_FILES} files"
            note(f"the {kind} cache is not used: its index is larger than {bounds}")
        except OSError as error:
            note(f"the {kind} cache is not used: {error}")
    return environment
