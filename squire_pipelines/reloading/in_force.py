"""The settings that a process works with: it takes a changed file when that is valid, and keeps the old ones else.

Who looks when: the receiver and `squire dev` twice a second (`watch`), Dagster's code server at each tick of a sensor,
a run once, at its start. All compare a mark of the file first, so that a look costs a call of stat(2).
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from squire_pipelines.errors import ConfigError, SettingError
from squire_pipelines.home import Home, named_config, no_file_hint
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.reloading.file_state import FileMark, is_settled, mark_of
from squire_pipelines.reloading.last_good import LastGood, refusal_text, version_of
from squire_pipelines.settings.file import SettingsFile, read_settings_file
from squire_pipelines.settings.model import Settings, settings_of

START_WAIT_S = 2.0
"""So long a process that starts waits for a file that is being written; then it reads what there is."""
TICK_WAIT_S = 1.5
"""Likewise a tick, which then goes on with the settings in force."""

_PAUSE_S = 0.1
_RETRY_S = 10.0
_LOG_AGAIN_S = 3600.0
_PREFIX = "SQUIRE_"
_MAX_FILES = 8
_log = get_logger(Component.PIPELINE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a settings' file is not taken.

    Args:
        version: Of the refused file.
        reason: The error's message and what to do; no secret is in it.
        since: When it was refused first.
    """

    version: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class InForce:
    """The settings that a process works with.

    Args:
        settings: The settings.
        version: Of the file that they come from.
        taken_at: When this process took them.
        refusal: Why it has not taken what the file says now; None where it has.
        asked: The newest request to read everything again that it has followed.
        hang_ups: How often a signal has asked for the same.
    """

    settings: Settings
    version: str
    taken_at: datetime
    refusal: Refusal | None = None
    asked: str = ""
    hang_ups: int = 0


@dataclass(frozen=True, slots=True)
class Clock:
    """The clocks, and waiting; tests have their own."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class _FileLook:
    """What settings follow from, as far as it is seen without reading."""

    file: FileMark | None
    asked: str
    variables: Mapping[str, str]


@dataclass(slots=True)
class _Seen:
    """Since when the file has looked as it does."""

    file_mark: FileMark | None = None
    since: float = field(default=float("-inf"))


class SettingsInForce:
    """Follows one settings' file in one process. All of it may be used from any thread.

    Args:
        path: The file.
        home: Has the last good copy and the requests to look again.
        is_named: Whether somebody named the file, so that it has to be there.
        on_taken: Called with the settings each time that some are taken, also at the start; should be quick.
        clock: The clocks.

    Raises:
        ConfigError: The file cannot be used, and there is no last good copy that can.
    """

    def __init__(
        self,
        path: Path,
        home: Home,
        *,
        is_named: bool = False,
        on_taken: Callable[[Settings], None] = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        self.path = path
        self.home = home
        self.last_good = LastGood(path, home)
        self._is_named = is_named
        self._on_taken = on_taken
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._seen = _Seen()
        self._last_look: _FileLook | None = None
        self._tried = self._clock.monotonic()
        self._hang_ups = 0
        self._logged = float("-inf")
        self._state = self._start()
        self.at_start = self._state.settings
        """What the process was started with, which holds to its end where a key says so (`settings.restarts`)."""
        on_taken(self.at_start)

    @property
    def state(self) -> InForce:
        """What is in force, without a look at the file."""
        return self._state

    @property
    def settings(self) -> Settings:
        """The settings in force, without a look at the file."""
        return self._state.settings

    def ask(self) -> None:
        """Have the next look read the file again, whatever it looks like. Takes no lock: signal handlers call it."""
        self._hang_ups += 1

    def check(self, *, wait_s: float = 0.0) -> InForce:
        """Look whether the file has changed, take it when it is valid, and return what is in force now.

        Args:
            wait_s: How long to wait for a file that is being written; a later look takes it else.
        """
        with self._lock:
            self._read_if_changed(wait_s)
            return self._state

    def _start(self) -> InForce:
        look = self._settled(START_WAIT_S) or self._look_now()
        self._last_look = look
        now = datetime.now(UTC)
        file = SettingsFile(self.path, exists=False)
        try:
            file = self._read()
            settings = settings_of(file)
        except ConfigError as error:
            return self._from_last_good(error, version_of(file), look.asked)
        self._keep(file, look.file)
        return InForce(settings, version_of(file), now, asked=look.asked)

    def _from_last_good(self, error: ConfigError, version: str, asked: str) -> InForce:
        known = self.last_good.read_settings()
        if known is None:
            raise error
        settings, copy = known
        refusal = Refusal(version, refusal_text(error), datetime.now(UTC))
        self._logged = self._clock.monotonic()
        _log.error("settings refused, the last good ones hold", reason=refusal.reason, copy=str(self.last_good.path))
        return InForce(settings, copy.version, copy.taken_at, refusal, asked)

    def _read_if_changed(self, wait_s: float) -> None:
        hang_ups = self._hang_ups
        if hang_ups != self._state.hang_ups or self._is_due_again():
            self._last_look = None
        look = self._settled(wait_s)
        if look is None:
            return
        self._tried = self._clock.monotonic()
        file = SettingsFile(self.path, exists=False)
        try:
            file = self._read()
            if mark_of(self.path) != look.file:
                return  # it is being written just now
            settings = self._state.settings if self._is_known(file, look) else settings_of(file)
        except ConfigError as error:
            self._refuse(error, version_of(file))
        else:
            self._take(settings, file, look)
        self._state = replace(self._state, asked=look.asked, hang_ups=hang_ups)
        self._last_look = look

    def _is_due_again(self) -> bool:
        # What made it wrong may lie in another file: a skill's folder that was missing.
        return self._state.refusal is not None and self._clock.monotonic() - self._tried >= _RETRY_S

    def _is_known(self, file: SettingsFile, look: _FileLook) -> bool:
        variables = self._last_look.variables if self._last_look is not None else None
        return version_of(file) == self._state.version and look.variables == variables

    def _take(self, settings: Settings, file: SettingsFile, look: _FileLook) -> None:
        version, before = version_of(file), self._state
        is_new = settings is not before.settings
        taken_at = datetime.now(UTC) if version != before.version else before.taken_at
        self._state = replace(before, settings=settings, version=version, taken_at=taken_at, refusal=None)
        if version != before.version:
            _log.info("settings taken", version=version, before=before.version)
        if is_new:
            self._keep(file, look.file)
            self._on_taken(settings)

    def _refuse(self, error: ConfigError, version: str) -> None:
        reason, known, now = refusal_text(error), self._state.refusal, self._clock.monotonic()
        is_new = known is None or (known.version, known.reason) != (version, reason)
        if known is None or is_new:
            known = Refusal(version, reason, datetime.now(UTC))
        if is_new or now - self._logged >= _LOG_AGAIN_S:
            self._logged = now
            _log.error("settings refused, the old ones hold", reason=reason, version=self._state.version)
        self._state = replace(self._state, refusal=known)

    def _keep(self, file: SettingsFile, file_mark: FileMark | None) -> None:
        if not file.exists:
            return
        try:
            self.last_good.keep(file, is_current=lambda: mark_of(self.path) == file_mark)
        except (OSError, TimeoutError) as error:
            _log.warning("no copy of the settings could be kept", path=str(self.last_good.path), reason=str(error))

    def _read(self) -> SettingsFile:
        """Read the file. Raises ConfigError, also where it is gone or empty and was not before.

        Both would be valid and leave no repository: what a full disk or an editor's crash leaves is not meant.
        """
        file = read_settings_file(self.path)
        has_copy = self.last_good.path.exists()
        hint = f"put it back, as from its last good copy {self.last_good.path}"
        if not file.exists and (self._is_named or has_copy):
            hint = f"{hint}; {no_file_hint(self.path)}" if has_copy else no_file_hint(self.path)
            raise SettingError(f"the configuration file {self.path} does not exist", hint=hint)
        if file.exists and has_copy and not file.text.strip():
            raise SettingError(f"the configuration file {self.path} is empty", hint=f"{hint}, or write a comment in it")
        return file

    def _look_now(self) -> _FileLook:
        variables = {name: value for name, value in os.environ.items() if name.upper().startswith(_PREFIX)}
        return _FileLook(mark_of(self.path), read_asked(self.home), variables)

    def _settled(self, wait_s: float) -> _FileLook | None:
        """Return what is seen when it is new and nobody is writing any more; None when it is not."""
        clock = self._clock
        deadline = clock.monotonic() + wait_s
        while (look := self._look_now()) != self._last_look:
            now = clock.monotonic()
            if self._seen.file_mark != look.file or self._seen.since == float("-inf"):
                self._seen = _Seen(look.file, now)
            is_same_file = self._last_look is not None and look.file == self._last_look.file
            is_absent_at_start = self._last_look is None and look.file is None and not self.last_good.path.exists()
            if (
                is_same_file
                or is_absent_at_start
                or is_settled(look.file, seen_for_s=now - self._seen.since, wall_s=clock.wall())
            ):
                return look
            if now >= deadline:
                return None
            clock.sleep(_PAUSE_S)
        return None


def read_asked(home: Home) -> str:
    """Return which request to read the settings again is the newest; an empty text where there is none."""
    try:
        return home.reload_request.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def settings_in_force(
    config: Path | None = None, *, on_taken: Callable[[Settings], None] = lambda _: None
) -> SettingsInForce:
    """Return what follows the settings in this process, the same at every call. Raises ConfigError.

    Args:
        config: The file; by default `SQUIRE_CONFIG`, else `config.toml` in the configuration directory.
        on_taken: As for `SettingsInForce`; counts at the first call.
    """
    home, named = Home.from_environment(), config or named_config()
    path = named.absolute() if named is not None else home.config_file
    key = (path, home.state, named is not None)
    with _opening:
        if key not in _opened:
            while len(_opened) >= _MAX_FILES:
                _opened.pop(next(iter(_opened)))
            _opened[key] = SettingsInForce(path, home, is_named=named is not None, on_taken=on_taken)
        return _opened[key]


_opening = threading.Lock()
_opened: dict[tuple[Path, Path, bool], SettingsInForce] = {}
