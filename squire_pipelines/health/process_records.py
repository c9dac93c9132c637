"""The processes of a home by their records: which it has started, which of them live, and which somebody has suspended.

`runtime.processes` writes the records.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from squire_pipelines.domain.service_rules import ProcessFacts
from squire_pipelines.home import make_folder

_PS_TIMEOUT_S = 5.0
_PROC = Path("/proc")
_BOOT = _PROC / "sys/kernel/random/boot_id"
_START_FIELD = 19  # of /proc/PID/stat, counted after the command's name: see proc(5), starttime


def process_start_time(pid: int) -> str | None:
    """Return when a process started, in the system's words: with the pid it identifies a process. None: no process."""
    if _BOOT.exists():  # Linux: slim images have no `ps`
        try:
            fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The time counts from the boot, so that the boot belongs to it.
        return f"{_BOOT.read_text(encoding='ascii').strip()} {fields[_START_FIELD]}"
    ps = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=_PS_TIMEOUT_S, check=False
    )
    return ps.stdout.strip() or None


def process_record(pid: int, *, deaths: int = 0) -> str:
    """Return what the record of a process has, with how often in a row the one of its name has died."""
    return json.dumps({"pid": pid, "birth": process_start_time(pid), "deaths": deaths})


def starting_record(run: Path, name: str) -> Path:
    """Return where the process that is about to start another one records that, in the folder `run` of a home."""
    return run / f"{name}.starting"


def stopping_mark(run: Path) -> Path:
    """Return the file that is there while the processes of a home are being stopped, in its folder `run`."""
    return run / "stopping"


@contextmanager
def starting(run: Path, name: str) -> Iterator[None]:
    """Record in the block that this process is about to start another: whoever looks meanwhile does not miss it."""
    record = starting_record(run, name)
    with suppress(OSError):  # a full disk: it is only shown, and the start itself says what is wrong
        make_folder(run)
        record.write_text(process_record(os.getpid()), encoding="utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            record.unlink(missing_ok=True)


def recorded_process(record: Path) -> int | None:
    """Return the process that a record of `runtime.processes` names, None when it has ended or none is named."""
    return _read(record)[0]


def _read(record: Path) -> tuple[int | None, int]:
    """Return the living process that a record names, and how often in a row the one of this name has died."""
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        pid, birth, deaths = int(known["pid"]), known["birth"], int(known.get("deaths", 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, 0
    return pid if process_start_time(pid) == birth else None, deaths


def process_facts(record: Path) -> ProcessFacts:
    """Return what is known of the process that a record names; nothing is recorded of one that was stopped in order."""
    if not record.exists():
        return ProcessFacts()
    pid, deaths = _read(record)
    if pid is None:
        return ProcessFacts(is_recorded=True, deaths=deaths + 1)
    try:
        age_s = max(0.0, time.time() - record.stat().st_mtime)
    except OSError:
        return ProcessFacts()  # it was stopped just now
    return ProcessFacts(
        is_recorded=True, is_alive=True, is_suspended=_is_suspended(pid), pid=pid, age_s=age_s, deaths=deaths
    )


def _is_suspended(pid: int) -> bool:
    if _BOOT.exists():
        try:
            fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return fields[0] in {"T", "t"}  # proc(5): stopped by a signal, or by a debugger
    ps = subprocess.run(
        ["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, timeout=_PS_TIMEOUT_S, check=False
    )
    return ps.stdout.strip().startswith("T")
