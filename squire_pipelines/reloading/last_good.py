"""The copy of the settings' file that was valid last, by which processes start while the file itself is wrong."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from squire_pipelines.errors import ConfigError, SettingError
from squire_pipelines.files import lock, write_atomically
from squire_pipelines.home import Home, make_folder
from squire_pipelines.settings.file import SettingsFile, read_settings_file
from squire_pipelines.settings.model import Settings, settings_of

NO_FILE = "none"
"""The version of settings that come from no file."""

_DIGITS = 12
_LOCK_TIMEOUT_S = 5.0


def version_of(file: SettingsFile) -> str:
    """Return the version of a settings' file: the beginning of its text's digest, the same in each process."""
    return hashlib.sha256(file.text.encode()).hexdigest()[:_DIGITS] if file.exists else NO_FILE


def refusal_text(error: ConfigError) -> str:
    """Return why a settings' file is refused, with what to do."""
    return f"{error.message} ({error.hint})" if error.hint else error.message


@dataclass(frozen=True, slots=True)
class SettingsCopy:
    """A copy of the settings' file as it was.

    Args:
        file: The copy, parsed; its path is that of the copy.
        taken_at: When it was taken.
    """

    file: SettingsFile
    taken_at: datetime

    @property
    def version(self) -> str:
        """The version of the file that it is a copy of."""
        return version_of(self.file)


class LastGood:
    """The copies of one settings' file in one home: the last valid one, and the one before it.

    Args:
        config: The settings' file. A link keeps its copies when it leads to another file, as that of a mounted
            ConfigMap does with each change.
        home: Has the copies, with mode 0600.
    """

    def __init__(self, config: Path, home: Home) -> None:
        name = os.path.join(os.path.realpath(config.absolute().parent), config.name)  # noqa: PTH118 - a text
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
        self._config = config
        self._folder = home.settings_state
        self.path = self._folder / f"last-good-{digest}.toml"
        self._before = self._folder / f"previous-{digest}.toml"

    def read(self) -> SettingsCopy | None:
        """Return the last valid copy, None where there is none that can be read."""
        return self._read(self.path)

    def read_settings(self) -> tuple[Settings, SettingsCopy] | None:
        """Return the settings that the last valid copy makes now; None where it is of no use.

        A copy of an older Squire is of none, nor any copy while a variable of the environment is what is wrong.
        """
        copy = self.read()
        try:
            return None if copy is None else (settings_of(copy.file), copy)
        except ConfigError:
            return None

    def read_previous(self) -> SettingsCopy | None:
        """Return the copy before the last valid one, None where there is none that can be read."""
        return self._read(self._before)

    def keep(self, file: SettingsFile, *, is_current: Callable[[], bool]) -> None:
        """Keep a valid file as the last good one: whole or not at all.

        Several processes take the same file, each in its own time. One that is late must not put an older file over
        what the others have kept, so that under the lock the file is looked at again.

        Args:
            file: What was read and found valid.
            is_current: Whether the file is still the one that was read.

        Raises:
            OSError: The copy cannot be written.
            TimeoutError: Another process keeps the lock.
        """
        make_folder(self._folder)
        with lock(self.path.with_suffix(".lock"), timeout_s=_LOCK_TIMEOUT_S):
            known = self.read()
            if not is_current() or (known is not None and known.version == version_of(file)):
                return
            if known is not None:
                write_atomically(self._before, known.file.text.encode())
            write_atomically(self.path, file.text.encode())

    def _read(self, path: Path) -> SettingsCopy | None:
        try:
            file = read_settings_file(path)
            moment = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except (SettingError, OSError):
            return None  # no copy helps whom it was to help
        return SettingsCopy(replace(file, copy_of=self._config), moment) if file.exists else None
