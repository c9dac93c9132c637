"""What each running process says about its settings, as one small file each; `squire config reload` reads them.

A process that was killed removes no file. So each holds a lock on a second one for as long as it lives, which also says
so of a process in another container that shares the home.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from squire_pipelines.files import lock_descriptor, write_atomically
from squire_pipelines.home import Home, make_folder
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.reloading.in_force import SettingsInForce
from squire_pipelines.settings.restarts import Part, changed_restart_keys

MAX_PROCESSES = 64
"""Of one home; those of more are not shown."""

_MAX_BYTES = 64 * 1024
_PREFIX = "process-"
_log = get_logger(Component.PIPELINE)


class ProcessStatus(BaseModel):
    """What one process says.

    Args:
        process: What it does.
        pid: Its number, in its own container.
        version: Of the settings' file that it works with.
        taken_at: Since when.
        asked: The newest request to look again that it has followed.
        refused: The version that it does not take, None where there is none.
        reason: Why; empty where nothing is refused.
        refused_since: When it was refused first.
        restart: The keys that have changed since it was started, and that only a restart takes.
        problem: What else it could not take, such as a webhook secret that is gone; empty for nothing.
        started_at: When it was started; None where it is of an earlier version of Squire.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    process: Part
    pid: int
    version: str
    taken_at: datetime
    asked: str = ""
    refused: str | None = None
    reason: str = ""
    refused_since: datetime | None = None
    restart: tuple[str, ...] = ()
    problem: str = ""
    started_at: datetime | None = None


def status_of(in_force: SettingsInForce, part: Part, *, problem: str = "") -> ProcessStatus:
    """Return what this process has to say."""
    state = in_force.state
    refusal = state.refusal
    return ProcessStatus(
        process=part,
        pid=os.getpid(),
        version=state.version,
        taken_at=state.taken_at,
        asked=state.asked,
        refused=refusal.version if refusal is not None else None,
        reason=refusal.reason if refusal is not None else "",
        refused_since=refusal.since if refusal is not None else None,
        restart=changed_restart_keys(in_force.at_start, state.settings, part),
        problem=problem,
    )


class StatusFile:
    """This process's file. A home that cannot be written is logged once, and keeps no process from its work.

    Args:
        home: Has the file.
        part: What the process does.
    """

    def __init__(self, home: Home, part: Part) -> None:
        self._folder = home.settings_state
        name = f"{_PREFIX}{part}-{secrets.token_hex(4)}"
        self._path = self._folder / f"{name}.json"
        self._lock = self._folder / f"{name}.lock"
        self._descriptor: int | None = None
        self._written: ProcessStatus | None = None
        self._is_failing = False
        self._started_at = datetime.now(UTC)

    def write(self, status: ProcessStatus) -> None:
        """Write what has changed since the last call, with the time at which this was made."""
        status = status.model_copy(update={"started_at": self._started_at})
        if status == self._written:
            return
        try:
            if self._descriptor is None:
                make_folder(self._folder)
                descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                lock_descriptor(descriptor)  # before the file is there: who sees it without a lock removes it
                self._descriptor = descriptor
            write_atomically(self._path, status.model_dump_json().encode(), durable=False)
        except OSError as error:
            if not self._is_failing:
                _log.warning("the state of the settings cannot be shown", path=str(self._path), reason=str(error))
            self._is_failing = True
        else:
            self._written, self._is_failing = status, False

    def close(self) -> None:
        """Remove the file, at the process's end."""
        if self._descriptor is not None:
            _remove(self._path)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_statuses(home: Home) -> tuple[ProcessStatus, ...]:
    """Return what the living processes of a home say, by their names; the files of dead ones are removed."""
    return tuple(sorted(_living(home), key=lambda status: (status.process, status.pid)))


def _living(home: Home) -> Iterator[ProcessStatus]:
    for path in sorted(home.settings_state.glob(f"{_PREFIX}*.json"))[:MAX_PROCESSES]:
        if not _is_alive(path.with_suffix(".lock")):
            _remove(path)
            continue
        with contextlib.suppress(OSError, ValidationError):  # it has just ended, or is of another version of Squire
            with path.open("rb") as file:
                content = file.read(_MAX_BYTES)
            yield ProcessStatus.model_validate_json(content)


def _is_alive(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not lock_descriptor(descriptor, shared=True)  # shared: other readers look at the same time
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    for file in (path, path.with_suffix(".lock")):
        with contextlib.suppress(OSError):  # another command removes it too, or may not
            file.unlink(missing_ok=True)


def ask_for_reload(home: Home) -> str:
    """Have each process of a home read its settings and secrets again at its next look; return the request's name.

    Raises:
        OSError: The home cannot be written.
    """
    request = secrets.token_hex(8)
    make_folder(home.settings_state)
    write_atomically(home.reload_request, request.encode(), durable=False)
    return request
