"""Checks a backup, and puts it into an empty home, whose ledger is upgraded where an earlier Squire made the backup.

While that goes on the home has a file that says so. No ledger is opened in such a home, and the next restore removes
what the file names before it begins again: a kill at any moment leaves a home that is empty, incomplete, or whole.
"""

import json
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from squire_pipelines.backups.file_format import BackupFormatError, BackupReader, open_backup
from squire_pipelines.backups.making import SPARE_BYTES, Progress, check_room
from squire_pipelines.backups.manifest import LEDGER, BackupManifest, target_of
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.errors import ConfigError, LedgerError, RefusedError, SchemaVersionError
from squire_pipelines.files import fsync, lock, open_atomically, open_untrusted, write_atomically
from squire_pipelines.home import Home, make_folder, restore_mark
from squire_pipelines.ledger import HEAD_REVISION
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.backup import verify
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.transfer import copy_rows, refuse_filled
from squire_pipelines.sections.types import check_ledger_url

_MAX_MARK_BYTES = 64 * 2**20
_IGNORED = frozenset({"lost+found"})
_URL_VARIABLE = "SQUIRE_LEDGER_URL"
_WORK = ".restoring"
_OTHER_BACKUP = "take another backup; nothing was changed"


@dataclass(frozen=True, slots=True)
class RestoredHome:
    """What was restored; `upgraded_from` is the ledger's earlier schema, None where it had the newest."""

    manifest: BackupManifest
    ledger: str
    upgraded_from: str | None


def verify_backup(path: Path, *, progress: Progress) -> BackupManifest:
    """Read all of a backup, compare each digest, and open its ledger for reading; return the manifest.

    Raises:
        NotFoundError: There is no such file.
        BackupFormatError: It is none, or is damaged.
        SchemaVersionError: It is of a newer Squire.
        RefusedError: There is no room for the ledger in the folder of temporary files.
        LedgerError: Its ledger is damaged.
    """
    with open_backup(path) as backup, tempfile.TemporaryDirectory(prefix="squire-verify-") as name:
        manifest = backup.manifest
        _refuse_newer(path, manifest)
        folder = Path(name)
        check_room(folder, manifest.ledger_bytes + SPARE_BYTES)
        done = 0
        for content in backup.members():
            is_ledger = content.member.name == LEDGER
            target = folder / LEDGER if is_ledger else Path(os.devnull)
            with target.open("wb") as file:
                for count in content.copy_to(file):
                    done += count
                    progress("verifying", done, manifest.bytes)
            if is_ledger:
                _check_ledger(target, manifest)
    return manifest


def _refuse_newer(path: Path, manifest: BackupManifest) -> None:
    if manifest.revision > HEAD_REVISION:
        raise SchemaVersionError(
            f"{path} has a ledger with schema {manifest.revision}, this Squire knows {HEAD_REVISION}",
            hint=f"install Squire {manifest.squire}, which made it, or a newer one",
        )


def _check_ledger(file: Path, manifest: BackupManifest) -> None:
    checked = verify(file)
    if checked.revision != manifest.revision:
        message = f"the ledger has schema {checked.revision}, and the manifest says {manifest.revision}"
        raise BackupFormatError(message, hint=_OTHER_BACKUP)


def restore_home(path: Path, home: Home, *, actor: str, progress: Progress) -> RestoredHome:
    """Put a backup into an empty home, or into one in which an earlier restore did not end.

    Args:
        path: The backup.
        home: Its folders are made if need be.
        actor: Who restores it, for the audit trail.
        progress: See `Progress`.

    Raises:
        RefusedError: The home or the ledger is not empty, a Squire runs in it, or the disk has not enough room.
        ConfigError: The settings in it name a ledger that can be none.
        LedgerError: A file cannot be written.
        Others: As `verify_backup`; the home is empty again then.
    """
    with open_backup(path) as backup:
        manifest = backup.manifest
        _refuse_newer(path, manifest)
        targets = _targets(manifest, home)
        copy = home.data / _WORK / LEDGER
        with _explained(home):
            check_home(home)
            with _serving(home):
                _clear_unfinished(home)
                check_home(home)
                # The ledger is copied once more: to where the settings have it.
                check_room(make_folder(home.data), manifest.bytes + manifest.ledger_bytes + SPARE_BYTES)
                _mark(home, (*targets.values(), copy, home.data / LEDGER))
                try:
                    _extract_all(backup, {**targets, LEDGER: copy}, progress)
                    _check_ledger(copy, manifest)
                    url = ledger_url_of(home)
                    _place_ledger(copy, url, home, path, actor=actor, progress=progress)
                    _sync(targets.values())
                except Exception:  # whatever failed is raised again, once the home is as empty as it was
                    _clear_unfinished(home)
                    raise
                copy.parent.rmdir()
                restore_mark(home.data).unlink()
                fsync(home.data)
    earlier = manifest.revision if manifest.revision != HEAD_REVISION else None
    with closing(Ledger(url)) as restored:
        return RestoredHome(manifest, restored.describe(), earlier)


def ledger_url_of(home: Home) -> str:
    """Return where the ledger of a home is, by the environment and the file, which may be no more than TOML.

    Settings that this Squire cannot use do not keep anybody from a ledger: `squire doctor` says what is wrong in them.

    Raises:
        ConfigError: What they name can be no ledger's URL, such as a file of the working directory.
    """
    named, place = os.environ.get(_URL_VARIABLE), _URL_VARIABLE
    if not named and home.config_file.is_file():
        place = "the backup's settings"
        try:
            named = tomllib.loads(home.config_file.read_text(encoding="utf-8")).get("ledger_url")
        except (ValueError, RecursionError):  # the latter for thousands of brackets
            named = None
    try:
        return check_ledger_url(str(named or f"sqlite:///{home.data / LEDGER}"))
    except ValueError as error:
        raise ConfigError(
            f"ledger_url in {place} cannot be used: {error}",
            hint=f"set {_URL_VARIABLE} to where the ledger is to be; nothing was changed",
        ) from error


def _extract_all(backup: BackupReader, targets: Mapping[str, Path], progress: Progress) -> None:
    done, total = 0, backup.manifest.bytes
    for content in backup.members():
        target = targets[content.member.name]
        make_folder(target.parent)
        with open_atomically(target, durable=False, replace=False) as file:
            for count in content.copy_to(file):
                done += count
                progress("restoring", done, total)


def _targets(manifest: BackupManifest, home: Home) -> dict[str, Path]:
    """Return where each member but the ledger goes.

    Raises:
        BackupFormatError: Two would be the same file, one would be a folder of another's, or one is in a place that the
            restore, the ledger or processes of Squire have to themselves.
    """
    targets = {
        member.name: target for member in manifest.members if (target := target_of(member.name, home)) is not None
    }
    files = set(targets.values())
    ledger = home.data / LEDGER
    ours = {restore_mark(home.data), home.data / _WORK, home.run, ledger, *_beside(ledger)}
    for name, target in targets.items():
        if not ours.isdisjoint((target, *target.parents)):
            raise BackupFormatError(f"the member {name!r} is in a place that Squire has to itself", hint=_OTHER_BACKUP)
        if not files.isdisjoint(target.parents):
            raise BackupFormatError(f"a folder of the member {name!r} would be a file", hint=_OTHER_BACKUP)
    if len(files) < len(targets):
        raise BackupFormatError("two members of the backup would be the same file", hint=_OTHER_BACKUP)
    return targets


@contextmanager
def _serving(home: Home) -> Iterator[None]:
    """Keep every other Squire out of the home. Raises RefusedError where one runs in it."""
    try:
        keeping_out = lock(home.run / "lock")
    except TimeoutError:
        message = f"a Squire runs in {home.state}"
        raise RefusedError(message, hint="stop it, or restore into another folder with --home") from None
    with keeping_out:
        yield


def check_home(home: Home) -> None:
    """Raise RefusedError where the home has more than its lock, and no unfinished restore that can be cleared."""
    if restore_mark(home.data).exists():
        return
    folders = dict.fromkeys((home.config, home.data, home.state))
    for folder in folders:
        if not folder.is_dir():
            continue
        for entry in sorted(folder.iterdir()):
            is_lock = entry == home.run and not any(inner.name != "lock" for inner in entry.iterdir())
            if not is_lock and entry.name not in _IGNORED and entry not in folders:
                raise RefusedError(
                    f"{folder} is not empty: it has {entry.name}",
                    hint="name an empty or a new folder with --home; nothing was changed",
                )


def _mark(home: Home, files: tuple[Path, ...]) -> None:
    """Say that the restore goes on, and which files it writes, before it writes any."""
    write_atomically(restore_mark(make_folder(home.data)), json.dumps([str(file) for file in files]).encode())


def _clear_unfinished(home: Home) -> None:
    """Remove the files that an unfinished restore into this home has written, and then the file that names them."""
    marker = restore_mark(home.data)
    if not marker.exists():
        return
    with open_untrusted(marker) as file:
        names = json.loads(file.read(_MAX_MARK_BYTES))
    roots = (home.config, home.data, home.state)
    for path in (Path(name) for name in names):
        if not any(path.is_relative_to(root) for root in roots):
            continue
        for leftover in (path, *path.parent.glob(f".{path.name}.*.part"), *_beside(path)):
            with suppress(IsADirectoryError, NotADirectoryError):  # a restore writes no such file
                leftover.unlink(missing_ok=True)
        for folder in path.parents:
            if folder in roots or not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()
    marker.unlink()


def _beside(path: Path) -> Iterator[Path]:
    """Yield the files that SQLite keeps beside a ledger."""
    if path.name.endswith(LEDGER):
        for suffix in ("-wal", "-shm", "-journal"):
            yield path.with_name(path.name + suffix)


def _place_ledger(copy: Path, url: str, home: Home, path: Path, *, actor: str, progress: Progress) -> None:
    """Upgrade the copy, record the restore in its audit trail, and put it where the settings say."""
    with closing(Ledger(f"sqlite:///{copy}")) as store, closing(Ledger(url)) as target:
        _refuse_filled_ledger(target)
        progress("upgrading the ledger", 0, 1)
        store.ensure_schema()
        with store.write() as tx:
            detail: dict[str, JsonValue] = {"home": str(home.data)}
            subject, trace_id = str(path), new_trace_id()
            record_audit(tx, actor=actor, action="ledger.restore", subject=subject, trace_id=trace_id, detail=detail)
        if not target.is_sqlite:
            target.ensure_schema()
            copy_rows(store, target, progress=lambda done, total: progress("filling the ledger", done, total))
    if target.is_sqlite:
        make_folder(target.path.parent)
        with copy.open("rb") as source, open_atomically(target.path, replace=False) as file:
            shutil.copyfileobj(source, file)
    copy.unlink()
    progress("syncing", 0, 1)


def _refuse_filled_ledger(target: Ledger) -> None:
    """Raise RefusedError where the ledger that the settings name is there already, with rows or in a file."""
    if target.is_sqlite:
        if target.path.exists():
            raise RefusedError(
                f"the settings of the backup name the ledger {target.path}, which is there already",
                hint="set SQUIRE_LEDGER_URL to another place, or move that file away; nothing was changed",
            )
    elif target.revision() is not None:
        target.ensure_schema()
        with target.read() as tx:
            refuse_filled(tx, target)


def _sync(files: Iterable[Path]) -> None:
    folders = set[Path]()
    for file in files:
        fsync(file)
        folders.update(file.parents[:2])
    for folder in folders:
        fsync(folder)


@contextmanager
def _explained(home: Home) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LedgerError(
            f"the home {home.data} cannot be restored: {error.strerror or error}",
            hint="check the folder and the disk, then run the same command again",
        ) from error
