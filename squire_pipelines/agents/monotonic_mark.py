"""When something began, by a clock that nobody can set and that goes on while the machine sleeps. Linux has it."""

import contextlib
import json
import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def _now() -> tuple[str, float] | None:
    """This boot's id and the seconds since; None where the system does not tell."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip(), time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError):
        return None


def write(path: Path) -> None:
    """Write down that it begins now, where the system tells and the disk has room: `since` has an answer without it."""
    now = _now()
    if now is None:
        return
    with contextlib.suppress(OSError):
        path.write_text(json.dumps({"boot_id": now[0], "boottime_s": now[1]}), encoding="utf-8")


def elapsed(path: Path) -> float | None:
    """Seconds since `note`, whatever happened to the wall clock; None when it was another boot, or nobody knows."""
    now = _now()
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        if now is None or noted["boot_id"] != now[0]:
            return None
        return max(0.0, now[1] - float(noted["boottime_s"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
