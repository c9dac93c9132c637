"""The checks of secrets: the keychain, the encrypted file and its passphrase, plain files, core dumps."""

import os
import resource
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.text import counted
from squire_pipelines.errors import ConfigError, PassphraseError
from squire_pipelines.health.machine_steps import in_container
from squire_pipelines.home import Home
from squire_pipelines.secrets.key_file import key_file
from squire_pipelines.secrets.passphrase import (
    EXPOSED,
    IN_A_FILE,
    find_passphrase,
    is_exposed,
    mounted_folders,
    passphrase_file,
)
from squire_pipelines.secrets.sources import SecretSources
from squire_pipelines.secrets.store import HOW

_MAX_FILES = 50
_DEMO_FILE = "demo.json"
DEMO_STEP = "run `squire demo --stay` and what it shows: a demo's secrets are in memory as long as it runs"


def is_demo(home: Home) -> bool:
    """Return whether a home is a demo's, whose secrets no passphrase of a person's opens."""
    return (home.data / _DEMO_FILE).is_file()


def check_places(sources: SecretSources, names: Iterable[str]) -> Iterator[Diagnosis]:
    """Check each place where secrets are kept; nothing is changed and no program of the settings is run."""
    ring = sources.keychain()
    if ring.backend is not None:
        _, trouble = ring.find("model-key")
        step = "unlock it, or keep secrets in the encrypted file: `squire secrets set NAME --file`"
        yield Diagnosis("keychain", "warn" if trouble else "ok", trouble or ring.name, step if trouble else "")
    else:
        yield Diagnosis("keychain", "ok", f"{ring.name}; `squire secrets set` uses the encrypted file")
    yield from _check_store(sources)
    yield from _check_plain_files(sources, names)
    soft, _ = resource.getrlimit(resource.RLIMIT_CORE)
    if soft:
        yield Diagnosis("core dumps", "warn", "a crash would write secrets to the disk", "set `ulimit -c 0`")


def _check_store(sources: SecretSources) -> Iterator[Diagnosis]:
    store, name = sources.store, "secret store"
    if not store.exists:
        yield Diagnosis(name, "ok", f"none yet; `squire secrets set NAME` makes {store.path} where it is needed")
        return
    try:
        count = counted(len(store.names()), "secret")
        passphrase = find_passphrase()
        try:
            store.read()
        except PassphraseError as error:
            if passphrase is not None or key_file() is not None:
                raise
            yield Diagnosis(name, "warn", f"{error.message} ({count})", DEMO_STEP if is_demo(sources.home) else HOW)
            return
    except ConfigError as error:
        yield Diagnosis.of_error(name, error)
        return
    yield Diagnosis(name, "ok", f"{store.path}, {count}, opened")
    if passphrase is not None and is_exposed(passphrase):
        yield Diagnosis("passphrase", "warn", EXPOSED, IN_A_FILE)
    elif passphrase is not None:
        file = passphrase_file() if passphrase.origin.startswith("file") else None
        yield judge_passphrase_file(passphrase.origin, file, is_container=in_container())


def judge_passphrase_file(origin: str, file: Path | None, *, is_container: bool) -> Diagnosis:
    """Return the line on where the passphrase comes from: a file that each user of the machine can read is told.

    Args:
        origin: Where it comes from, for people.
        file: Its file; None for no file.
        is_container: Whether this process is in a container, whose mounts are readable for all within it.
    """
    is_mounted = file is not None and any(file.is_relative_to(folder) for folder in mounted_folders())
    try:
        is_open = file is not None and bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        is_open = False  # who reads it says why
    if is_open and not is_mounted and not is_container:
        return Diagnosis("passphrase", "warn", f"every user of this machine can read {file}", f"chmod 600 {file}")
    return Diagnosis("passphrase", "ok", origin)


def _check_plain_files(sources: SecretSources, names: Iterable[str]) -> Iterator[Diagnosis]:
    files = _plain_files(sources.home.secrets)
    known = set(names)
    if sources.allow_plain_files:
        yield Diagnosis(
            "plain files",
            "warn",
            f"secrets.allow_plain_files is on: {counted(len(files), 'secret')} in {sources.home.secrets} in the clear",
            "run `squire secrets import NAME` for each, and remove the setting",
        )
        return
    for path in files:
        step = f"run `squire secrets import {path.name}`" if path.name in known else f"remove {path}"
        yield Diagnosis("plain files", "warn", f"{path} holds a secret in the clear, and is not read", step)


def _plain_files(folder: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_file())[:_MAX_FILES]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
