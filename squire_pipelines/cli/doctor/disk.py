"""The checks of the disk: its room, what of the home takes how much, how fast it grows and how long that will do."""

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.text import size
from squire_pipelines.domain.condition_rules import LEAST_FREE_BYTES, MIN_FREE_BYTES
from squire_pipelines.home import Home, why_not_writable

MIN_DAYS_LEFT = 14.0
MAX_FILES = 200_000
_MAX_WALK_S = 10.0
_DAY_S = 86400.0
_WINDOW_S = 7 * _DAY_S
_SHOWN_PARTS = 4
_STEPS = {
    "attempts": "lower `agent.log_retention_days`, or run `squire tasks clean`",
    "ledger": "lower the days in `[retention]`, or run `squire tasks clean`",
    "warehouse": "lower the days in `[retention]`: it has what the ledger and its archive have",
    "archive": "move the oldest files of the folder `archive` to another disk",
    "backups": "lower `backup.keep`, or set `backup.folder` to another disk",
    "cache": "remove the folder `cache` while Squire does not run: it is made again",
    "dagster": "lower `retention.max_runs`: the job `clean` removes the oldest",
    "logs": "lower `logging.max_file` or `logging.files`, and start Squire again",
}
_ENGINE_STORES: Mapping[str, Sequence[Path]] = {
    "docker": (Path("/var/lib/docker"), Path("~/.local/share/docker")),
    "podman": (Path("/var/lib/containers"), Path("~/.local/share/containers")),
}


@dataclass(frozen=True, slots=True)
class PartSize:
    """What a part of the home takes.

    Args:
        name: Of the part.
        used: Bytes.
        daily: By how many bytes it grows in a day.
    """

    name: str
    used: int
    daily: float


@dataclass(frozen=True, slots=True)
class HomeSizes:
    """The parts of a home; `age_s` is how long there has been one, `is_whole` whether all files were counted."""

    parts: tuple[PartSize, ...]
    age_s: float
    is_whole: bool = True


def check_disk(context: CliContext) -> Iterator[Diagnosis]:
    """Check the room on the disk that has the ledger and the attempts' folders, and how long it will do."""
    folder = context.home.data
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if (cause := why_not_writable(folder)) is not None:
        step = "make it writable, or set SQUIRE_HOME to another folder; until then only reading works"
        yield Diagnosis("disk", "fail", cause, step)
        return
    free = shutil.disk_usage(folder).free
    sizes = measure_home(context.home, context.settings.ledger_file)
    yield judge_room(free, folder, sizes)
    if sizes.parts:
        yield judge_growth(free, sizes)


def judge_room(free: int, folder: Path, sizes: HomeSizes) -> Diagnosis:
    """Return the line about the free bytes of the disk that has `folder`."""
    text = f"{size(free)} free at {folder}"
    if free >= MIN_FREE_BYTES:
        return Diagnosis("disk", "ok", text)
    return Diagnosis("disk", "warn" if free >= LEAST_FREE_BYTES else "fail", text, _room_step(sizes.parts, folder))


def judge_growth(free: int, sizes: HomeSizes) -> Diagnosis:
    """Return the line about the home's parts, and how many days the disk will hold their growth."""
    used, daily = sum(part.used for part in sizes.parts), sum(part.daily for part in sizes.parts)
    largest = sorted(sizes.parts, key=lambda part: -part.used)[:_SHOWN_PARTS]
    shown = ", ".join(f"{part.name} {size(part.used)}" for part in largest if part.used)
    text = f"{'' if sizes.is_whole else 'at least '}{size(used)}{f': {shown}' if shown else ''}"
    if sizes.age_s < _DAY_S:
        return Diagnosis("home", "ok", f"{text}; its growth is known after a day")
    if daily < 1:
        return Diagnosis("home", "ok", f"{text}; it does not grow")
    days = free / daily
    text += f"; it grows by about {size(int(daily))} a day, for which the disk has room for {_days(days)}"
    if days >= MIN_DAYS_LEFT:
        return Diagnosis("home", "ok", text)
    fastest = max(sizes.parts, key=lambda part: part.daily)
    return Diagnosis("home", "warn", text, f"make room; {fastest.name} grows most: {_STEPS[fastest.name]}")


def _days(days: float) -> str:
    return "years" if days > 365 else f"{days:.0f} days"  # noqa: PLR2004 - of a year


def _room_step(parts: Sequence[PartSize], folder: Path) -> str:
    largest = max(parts, key=lambda part: part.used, default=None)
    if largest is None or largest.used < MIN_FREE_BYTES // 4:
        engine = engine_on_disk_of(folder)
        return f"free some space{f': `{engine} system prune` removes unused images' if engine else ''}"
    return f"free some space; most of the home is {largest.name}: {_STEPS[largest.name]}"


def engine_on_disk_of(folder: Path, stores: Mapping[str, Sequence[Path]] = _ENGINE_STORES) -> str | None:
    """Return the engine whose images are on the disk that has `folder`, so that removing some makes room there.

    Args:
        folder: That is to have room.
        stores: Where each engine keeps its images as a rule, by the engine's program.
    """
    for engine, places in stores.items():
        for place in places:
            try:
                if place.expanduser().stat().st_dev == folder.stat().st_dev and shutil.which(engine):
                    return engine
            except (OSError, RuntimeError):
                continue  # it is not there, or not this user's to look at
    return None


def measure_home(home: Home, ledger: Path | None, *, now: Callable[[], float] = time.time) -> HomeSizes:
    """Measure the parts of a home by its files' sizes and times.

    A file that is written on and on counts with its size, divided by the home's age; what is kept as many files counts
    with those of the last seven days. Retention removes some of it, so that the growth is rather less.

    Args:
        home: The home.
        ledger: Its ledger's file; None when it is in a server.
        now: The clock that the files' times are of, in seconds since 1970.
    """
    moment, budget = now(), _Budget()
    age_s = max((moment - made for made in _oldest_times(home)), default=0.0)
    days = max(1.0, age_s / _DAY_S)
    parts = []
    grown = {"ledger": _with_log(ledger), "warehouse": [home.warehouse]}
    for name, files in grown.items():
        if used := sum(_size_of(file) for file in files):
            parts.append(PartSize(name, used, used / days))
    window_days = min(days, _WINDOW_S / _DAY_S)
    folders = {
        "archive": home.archive,
        "attempts": home.attempts,
        "backups": home.backups,
        "cache": home.cache,
        "dagster": home.dagster,
        "logs": home.run,
    }
    for name, folder in folders.items():
        used, recent = _tree(folder, moment - _WINDOW_S, budget)
        if used:
            parts.append(PartSize(name, used, recent / window_days))
    return HomeSizes(tuple(parts), age_s, is_whole=not budget.is_spent)


def _with_log(ledger: Path | None) -> list[Path]:
    return [] if ledger is None else [ledger, ledger.with_name(f"{ledger.name}-wal")]


def _size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _oldest_times(home: Home) -> Iterator[float]:
    """Yield the times of what is written once, when a home is made."""
    for path in (home.config_file, home.dagster / "dagster.yaml", home.dagster / "storage-made", home.archive):
        try:
            yield path.stat().st_mtime
        except OSError:
            continue


class _Budget:
    """How many files may still be looked at, and until when."""

    def __init__(self) -> None:
        self._left = MAX_FILES
        self._until = time.monotonic() + _MAX_WALK_S

    def take(self) -> bool:
        self._left -= 1
        return not self.is_spent

    @property
    def is_spent(self) -> bool:
        return self._left < 0 or time.monotonic() > self._until


def _tree(folder: Path, since: float, budget: _Budget) -> tuple[int, int]:
    """Return the bytes of the files below a folder, and of those written since a moment. No symlink is followed."""
    used = recent = 0
    folders = [os.fspath(folder)]
    while folders and not budget.is_spent:
        try:
            entries = os.scandir(folders.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                if not budget.take():
                    break
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue  # removed meanwhile
                if stat.S_ISDIR(status.st_mode):
                    folders.append(entry.path)
                    continue
                on_disk = status.st_blocks * 512  # sparse files hold less than they seem to
                used += on_disk
                recent += on_disk if status.st_mtime >= since else 0
    return used, recent
