"""The record of a migration: its originals, sealed as the secret store seals, and by its name how far it came.

    migrations/0001.begun    is finished by the next run, or undone
    migrations/0001.done     is what a rollback restores
    migrations/0001.undoing  is undone by the next run

Its content is written once, before anything is changed. All that a plain text could tell is in the sealed part.
"""

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from squire_pipelines.errors import ConfigError, PassphraseError, SecretStoreError
from squire_pipelines.files import fsync, open_untrusted, write_atomically
from squire_pipelines.home import Home, make_folder, why_not_writable
from squire_pipelines.migration.plan import FileEdit
from squire_pipelines.secrets.passphrase import find_passphrase
from squire_pipelines.secrets.sealed import (
    KEY_BYTES,
    MAX_FILE_BYTES,
    KdfCost,
    SealedFile,
    SealingKey,
    derive_key,
    new_salt,
    open_sealed,
    parse,
    seal,
)
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.sources import SecretSources
from squire_pipelines.settings.file import KeyPath

Phase = Literal["begun", "done", "undoing"]
KEYCHAIN_ENTRY = "migration-backup"
"""What the keychain has the key of records under, on machines where it keeps the secrets too."""

MAX_ORIGINALS = 2 * 2**20
"""Bytes of all files that one migration changes, the settings' file among them."""

NO_GROUP = -1
"""The group of a file that is not known, and stays as it comes."""

_BY_STORE, _BY_KEYCHAIN = "migration", "migration-by-keychain"
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class MigrationRecord:
    """All that finishing and undoing a migration takes.

    Args:
        edits: What becomes of the old files.
        secrets: The secrets that it adds, by their names.
        settings: The settings that it adds.
        config: The settings' file.
        config_before: What that held; None where it was not there.
        config_after: What it holds then; None where it is not changed.
    """

    edits: tuple[FileEdit, ...] = field(repr=False)
    secrets: dict[str, str] = field(repr=False)
    settings: tuple[tuple[KeyPath, Any], ...]
    config: Path
    config_before: bytes | None = field(repr=False)
    config_after: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class RecordFile:
    """The file of a record."""

    path: Path
    phase: Phase

    def rename(self, phase: Phase) -> "RecordFile":
        """Say by its name how far the migration is, so that a loss of power does not undo that. Raises OSError."""
        path = self.path.with_suffix(f".{phase}")
        os.rename(self.path, path)  # noqa: PTH104 - one call of the system's, whatever Path does around it
        fsync(path.parent)
        return RecordFile(path, phase)

    def remove(self) -> None:
        """Remove it for good. Raises OSError."""
        self.path.unlink()
        fsync(self.path.parent)


class RecordFolder:
    """The records of one home.

    Args:
        home: Has the folder `migrations` beside the settings.
        sources: Their key is that of the encrypted file, or one in the keychain where there is no such file.
        ask: Asks a person for the passphrase of a record that is older than that of the encrypted file; None where
            nobody can be asked.
    """

    def __init__(self, home: Home, sources: SecretSources, ask: Callable[[], Secret] | None = None) -> None:
        self.path = home.migrations
        self._sources = sources
        self._ask = ask

    def write(self, record: MigrationRecord) -> RecordFile:
        """Seal a record, write it as begun, and read it back. Raises ConfigError, and nothing is changed then."""
        kind, key = self._key()
        data = seal({kind: json.dumps(_as_json(record))}, key)
        last = max((int(file.path.stem) for file in records_in(self.path)), default=0)
        file = RecordFile(self.path / f"{last + 1:0{_DIGITS}}.begun", "begun")
        try:
            make_folder(self.path)
            for left in self.path.glob(".*.part"):  # what a killed migration left
                left.unlink(missing_ok=True)
            write_atomically(file.path, data)
        except OSError as error:
            reason = why_not_writable(self.path.parent) or error.strerror
            raise SecretStoreError(
                f"the backup {file.path} cannot be written: {reason}; nothing was changed",
                hint="make room or make the folder writable, and run the command again",
            ) from error
        if self.read(file) != record:
            raise SecretStoreError(f"the backup {file.path} reads back as something else", hint="check the disk")
        return file

    def read(self, file: RecordFile) -> MigrationRecord:
        """Return what is in a record.

        Raises:
            PassphraseError: Its key is not there.
            SecretStoreError: It cannot be read, or is damaged.
        """
        try:
            with open_untrusted(file.path) as opened:
                data = opened.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise SecretStoreError(f"{file.path} cannot be read: {error.strerror}", hint="check its mode") from error
        sealed = parse(data, str(file.path))
        (text,) = open_sealed(sealed, self._key_of(sealed, file.path), str(file.path)).values()
        return _from_json(json.loads(text))

    def _key(self) -> tuple[str, SealingKey]:
        ring, store = self._sources.keychain(), self._sources.store
        if ring.backend is None or store.exists:
            return _BY_STORE, store.key()
        key = self._key_in_keychain()
        if key is None:
            key = os.urandom(KEY_BYTES)
            ring.store(KEYCHAIN_ENTRY, key.hex())
        return _BY_KEYCHAIN, SealingKey(key, new_salt(), KdfCost())

    def _key_in_keychain(self) -> bytes | None:
        value, trouble = self._sources.keychain().find(KEYCHAIN_ENTRY)
        if trouble:
            raise PassphraseError(trouble, hint="unlock the keychain, and run the command again")
        return bytes.fromhex(value) if value else None

    def _key_of(self, sealed: SealedFile, path: Path) -> SealingKey:
        if sealed.names == (_BY_KEYCHAIN,):
            if (key := self._key_in_keychain()) is None:
                raise PassphraseError(f"the keychain has no key for {path}", hint="use the keychain that it had")
            return SealingKey(key, sealed.salt, sealed.cost)
        store = self._sources.store
        if store.exists and (own := store.key()).salt == sealed.salt:
            return SealingKey(own.key, sealed.salt, sealed.cost)
        passphrase = find_passphrase() or (self._ask() if self._ask is not None else None)
        if passphrase is None:
            raise PassphraseError(f"{path} was sealed with another passphrase", hint="give the one that held then")
        return derive_key(passphrase.reveal(), sealed.salt, sealed.cost)


def records_in(folder: Path) -> tuple[RecordFile, ...]:
    """Return the records of a folder, the oldest first; no passphrase is needed."""
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ()
    phases = {f".{phase}": phase for phase in get_args(Phase)}
    return tuple(
        RecordFile(path, phases[path.suffix]) for path in paths if path.suffix in phases and path.stem.isdecimal()
    )


def check_size(record: MigrationRecord) -> None:
    """Check that a record can be sealed as a whole. Raises ConfigError."""
    total = sum(len(edit.before) + len(edit.after or b"") for edit in record.edits)
    total += len(record.config_before or b"") + len(record.config_after or b"")
    if total > MAX_ORIGINALS:
        raise ConfigError(
            f"the files to be changed have {total} bytes, more than the {MAX_ORIGINALS} of a backup; nothing was "
            "changed",
            hint="are they settings? move what is none away",
        )


def _as_json(record: MigrationRecord) -> dict[str, Any]:
    return {
        "edits": [
            [os.fsencode(edit.path).hex(), _text(edit.before), edit.mode, _text(edit.after), edit.group]
            for edit in record.edits
        ],
        "secrets": record.secrets,
        "settings": [[list(path), value] for path, value in record.settings],
        "config": os.fsencode(record.config).hex(),
        "config_before": _text(record.config_before),
        "config_after": _text(record.config_after),
    }


def _from_json(values: dict[str, Any]) -> MigrationRecord:
    return MigrationRecord(
        tuple(
            FileEdit(_path(path), _bytes(before) or b"", mode, _bytes(after), group[0] if group else NO_GROUP)
            for path, before, mode, after, *group in values["edits"]  # older records have no group
        ),
        values["secrets"],
        tuple((tuple(path), value) for path, value in values["settings"]),
        _path(values["config"]),
        _bytes(values["config_before"]),
        _bytes(values["config_after"]),
    )


def _path(text: str) -> Path:
    return Path(os.fsdecode(bytes.fromhex(text)))


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
