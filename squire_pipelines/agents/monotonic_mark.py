"""Keeps when something began, by a clock that nobody can set and that runs while the machine sleeps. Linux has it."""

import contextlib
import json
import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def _now() -> tuple[str, float] | None:
    """Return this boot's id and the seconds since; None where the system does not tell."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip(), time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError):
        return None


def write(path: Path) -> None:
    """Write that it begins now, where the system tells the time and the disk has room: `elapsed` works without it."""
    now = _now()
    if now is None:
        return
    with contextlib.suppress(OSError):
        path.write_text(json.dumps({"boot_id": now[0], "boottime_s": now[1]}), encoding="utf-8")


def elapsed(path: Path) -> float | None:
    """Return the seconds since `write`, whatever the wall clock did; None after another boot or without a mark."""
    now = _now()
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if now is None or record["boot_id"] != now[0]:
            return None
        return max(0.0, now[1] - float(record["boottime_s"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
