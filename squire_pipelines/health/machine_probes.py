"""The probes of this machine: its disks and its clock."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from squire_pipelines.domain.condition_rules import ClockFacts, DiskFacts, clock_state, disk_state
from squire_pipelines.domain.conditions import HealthLevel
from squire_pipelines.health.machine_steps import clock_step
from squire_pipelines.health.probe import Probe, States
from squire_pipelines.home import why_not_writable
from squire_pipelines.settings.model import Settings

_EVERY_S = 15.0
_TIMEOUT_S = 5.0
StatVfs = Callable[[Path], os.statvfs_result]


def disk_probe(settings: Settings) -> Probe:
    """Return the probe of the disks that Squire's folders are on."""
    return Probe("disk", ("disk",), _EVERY_S, _TIMEOUT_S, lambda: look_at_disks(settings))


def look_at_disks(settings: Settings, *, statvfs: StatVfs | None = None) -> States:
    """Look at the disks of the home's folders and of the ledger's file, at each disk once.

    Args:
        settings: Say where the folders are.
        statvfs: Asks the system; by default `os.statvfs`.
    """
    home = settings.home
    ledger = settings.ledger_file
    folders = (home.data, home.state, home.cache, *((ledger.parent,) if ledger is not None else ()))
    return {"disk": disk_state(list(_disks(folders, statvfs or os.statvfs)))}


def why_disk_is_full(settings: Settings) -> str | None:
    """Return why nothing should be begun that writes to the disk; None where there is room."""
    state = look_at_disks(settings)["disk"]
    return state.reason if state.level is HealthLevel.DOWN else None


def _disks(folders: tuple[Path, ...], statvfs: StatVfs) -> Iterator[DiskFacts]:
    devices = set()
    for path in folders:
        folder = _nearest(path)
        device = folder.stat().st_dev
        if device in devices:
            continue
        devices.add(device)
        try:
            status = statvfs(folder)
        except OSError as error:
            yield DiskFacts(str(folder), 0, problem=f"the disk of {folder} does not answer: {error.strerror}")
            continue
        # Btrfs and others have no fixed number of files, and say 0 of 0.
        free_files = status.f_favail if status.f_files else None
        problem = why_not_writable(folder) or ""
        yield DiskFacts(str(folder), status.f_bavail * status.f_frsize, free_files, problem)


def _nearest(folder: Path) -> Path:
    """Return the folder, or the first one above it that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


class ClockComparison:
    """The newest comparison of this machine's clock with another, which one probe makes and another reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offset_s: float | None = None

    def note(self, offset_s: float | None) -> None:
        """Remember how far this clock is ahead; None where nothing could be compared, which ends an earlier one."""
        with self._lock:
            self._offset_s = offset_s

    @property
    def offset_s(self) -> float | None:
        """How far this clock is ahead, in seconds."""
        with self._lock:
            return self._offset_s


def look_at_clock(facts: ClockFacts) -> States:
    """Return how the clock is, with how it is set on this machine."""
    return {"clock": clock_state(replace(facts, step=clock_step()))}
