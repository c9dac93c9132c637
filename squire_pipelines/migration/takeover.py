"""Does a migration, step by step, and undoes it: at each moment the old state is whole, or the new one is.

First comes the sealed record, then the new state beside the old one, which nothing of it touches; it is read back and
compared; then the plain text goes. An undoing goes the other way. A killed one is finished by the next.
"""

import contextlib
import hmac
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from squire_pipelines.errors import ConfigError, SquireError
from squire_pipelines.files import fsync, lock, open_atomically, write_atomically
from squire_pipelines.home import Home, make_folder
from squire_pipelines.migration.plan import FileEdit, MigrationPlan, value_at
from squire_pipelines.migration.record import MigrationRecord, RecordFile, RecordFolder, check_size
from squire_pipelines.secrets.lookup import delete_secret, store_secret
from squire_pipelines.secrets.sources import SecretSources
from squire_pipelines.settings.edits import read_if_there, replace_settings, settings_locked, with_value
from squire_pipelines.settings.file import SettingsFile, parse_settings, read_settings_file

LOCK_TIMEOUT_S = 5.0
_MAX_COPIES = 1000


class Takeover:
    """Migrations of one home.

    Args:
        home: Of Squire's files.
        sources: Where the secrets are kept, opened by the caller.
        records: See `record`.
        before_step: Called with the name of each step before it is done.
    """

    def __init__(
        self,
        home: Home,
        sources: SecretSources,
        records: RecordFolder,
        *,
        before_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._home = home
        self._sources = sources
        self._records = records
        self._before_step = before_step

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other migrations of the home out. Raises ConfigError."""
        path = self._home.run / "migration.lock"
        try:
            held_lock = lock(path, timeout_s=LOCK_TIMEOUT_S)
        except TimeoutError:
            raise ConfigError("another migration of this home is running", hint="wait until it has ended") from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be made: {error.strerror}; nothing was changed", hint=_ROOM) from error
        with held_lock:
            yield

    def begin(self, plan: MigrationPlan, config: SettingsFile) -> tuple[RecordFile, list[str]]:
        """Do what a plan says; return the record and what a person has to know.

        Raises:
            SquireError: It cannot be done. Before plain text is removed everything is undone, if that can be; after
                that, the next run goes on.
        """
        record = MigrationRecord(
            edits=tuple(plan.edits),
            secrets=dict(plan.secrets),
            settings=tuple(plan.settings),
            config=config.path,
            config_before=config.text.encode() if config.exists else None,
            config_after=None if plan.config_text is None else plan.config_text.encode(),
        )
        check_size(record)
        self._before_step("backup")
        file = self._records.write(record)
        try:
            self._make_new(record)
        except (SquireError, OSError) as error:
            try:
                self.undo(file)
            except SquireError:  # what cannot be undone now, the next run settles
                raise _interrupted(error) from error
            raise _undone(error) from error
        return self._finish(file, record)

    def finish(self, file: RecordFile) -> tuple[RecordFile, list[str]]:
        """Go on with a migration that was interrupted; return as `begin` does. Raises SquireError."""
        record = self._records.read(file)
        try:
            self._make_new(record)
        except OSError as error:
            raise _interrupted(error) from error
        return self._finish(file, record)

    def undo(self, file: RecordFile) -> list[str]:
        """Restore the old state as it was, byte for byte, and forget the migration; return what is to be known.

        What somebody changed since is not lost: a changed file is kept beside the original, a changed `config.toml` or
        secret stays.

        Raises:
            SquireError: It cannot be done as a whole; the next run goes on.
        """
        try:
            record = self._records.read(file)
            if file.phase != "undoing":
                self._before_step("undo")
                file = file.rename("undoing")
            notes = [note for edit in record.edits for note in self._restore(edit)]
            notes += self._restore_settings(record)
            for name, value in record.secrets.items():
                self._before_step(f"forget {name}")
                if self._kept(name) == value:
                    delete_secret(name, self._sources)
                elif self._kept(name) is not None:
                    notes.append(f"the secret {name} has another value since, and stays")
            self._before_step("undone")
            file.remove()
        except OSError as error:
            raise _interrupted(error) from error
        return notes

    def _make_new(self, record: MigrationRecord) -> None:
        """Put the new state in place beside the old one, and read it back. Raises SquireError, OSError."""
        for name, value in record.secrets.items():
            self._before_step(f"seal {name}")
            if self._kept(name) is None:
                store_secret(name, value, self._sources)
                if not hmac.compare_digest((self._kept(name) or "").encode(), value.encode()):
                    raise ConfigError(f"the secret {name} reads back as another value", hint="run `squire doctor`")
        if record.config_after is not None:
            self._before_step("settings")
            self._write_settings(record)
        self._before_step("verify")
        missing = [name for name in record.secrets if self._kept(name) is None]
        present = read_settings_file(record.config)
        missing += [".".join(map(str, path)) for path, _ in record.settings if value_at(present, _names(path)) is None]
        if missing:
            raise ConfigError(f"{', '.join(missing)} cannot be read back", hint="run `squire doctor`")

    def _write_settings(self, record: MigrationRecord) -> None:
        """Write the new settings, with those that somebody wrote since the record was made. Raises SquireError."""
        with settings_locked(record.config, self._home):
            before = read_if_there(record.config)
            if before == record.config_after:
                return
            text = (record.config_after or b"").decode()
            if before != record.config_before:
                file = read_settings_file(record.config)
                for path, value in record.settings:
                    if value_at(file, _names(path)) in (None, []):
                        file = parse_settings(file.path, with_value(file, path, value))
                text = file.text
            replace_settings(record.config, before, text)

    def _finish(self, file: RecordFile, record: MigrationRecord) -> tuple[RecordFile, list[str]]:
        notes = []
        try:
            for edit in record.edits:
                notes += self._remove_plain_text(edit)
            self._before_step("done")
            return file.rename("done"), notes
        except OSError as error:
            raise _interrupted(error) from error

    def _remove_plain_text(self, edit: FileEdit) -> list[str]:
        self._before_step(f"remove {edit.path}")
        _remove_parts(edit.path)
        current = read_if_there(edit.path)
        if current == edit.after:
            return []
        if current != edit.before:
            return [f"{edit.path} was changed meanwhile, and stays as it is: run the command again"]
        if edit.after is None:
            edit.path.unlink()
            fsync(edit.path.parent)
        else:
            _replace(edit, edit.after)
        return []

    def _restore(self, edit: FileEdit) -> list[str]:
        self._before_step(f"restore {edit.path}")
        _remove_parts(edit.path)
        current, notes = read_if_there(edit.path), []
        if current is not None and current not in {edit.before, edit.after}:
            copy = _keep_copy(edit.path, current, edit.mode)
            notes.append(f"{edit.path} had been changed since: that is kept as {copy}")
        make_folder(edit.path.parent)
        if current != edit.before or edit.path.stat().st_mode & 0o7777 != edit.mode:
            _replace(edit, edit.before)
        if edit.path.read_bytes() != edit.before:
            raise ConfigError(f"{edit.path} reads back as something else", hint="check the disk, and run it again")
        return notes

    def _restore_settings(self, record: MigrationRecord) -> list[str]:
        self._before_step("restore settings")
        if record.config_after is None:
            return []
        with settings_locked(record.config, self._home):
            current = read_if_there(record.config)
            if current in {record.config_before, None}:
                return []
            if current != record.config_after:
                return [f"{record.config} was changed since, and stays as it is"]
            if record.config_before is None:
                record.config.unlink()
                fsync(record.config.parent)
            else:
                replace_settings(record.config, current, record.config_before.decode())
        return []

    def _kept(self, name: str) -> str | None:
        """Return the value of a secret that Squire keeps itself; None where it keeps none. Raises ConfigError."""
        value = self._sources.store.find(name)
        if value is None:
            value, trouble = self._sources.keychain().find(name)
            if trouble:
                raise ConfigError(trouble, hint="unlock the keychain, and run the command again")
        return value


def _names(path: tuple[str | int, ...]) -> tuple[str, ...]:
    return tuple(map(str, path))


def _remove_parts(path: Path) -> None:
    """Remove what a killed writer of a file left beside it, which may hold its plain text. Raises OSError."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        left.unlink(missing_ok=True)


def _replace(edit: FileEdit, content: bytes) -> None:
    """Put a content in the place of a file, with the mode and the group that it had. Raises OSError."""
    with open_atomically(edit.path, mode=edit.mode) as file:
        with contextlib.suppress(PermissionError):  # of a group that this user is not in; the file is the user's then
            os.fchown(file.fileno(), -1, edit.group)
        os.fchmod(file.fileno(), edit.mode)  # a change of the group takes some of it away
        file.write(content)


def _keep_copy(path: Path, content: bytes, mode: int) -> Path:
    for number in range(1, _MAX_COPIES):
        copy = path.with_name(f"{path.name}.changed-{number}")
        if not os.path.lexists(copy):
            write_atomically(copy, content, mode=mode)
            return copy
    raise ConfigError(f"there are too many copies of {path}", hint="remove some")


_ROOM = "make room or make the folder writable, and run the command again"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror}"
    return getattr(error, "message", str(error))


def _undone(error: Exception) -> ConfigError:
    hint = getattr(error, "hint", "") or _ROOM
    return ConfigError(f"the migration was undone, and nothing was changed: {_reason(error)}", hint=hint)


def _interrupted(error: Exception) -> ConfigError:
    return ConfigError(
        f"the migration is not finished: {_reason(error)}",
        hint="make room or make the folder writable; then `squire migrate` goes on, or `squire migrate --rollback` "
        "restores the old state",
    )
