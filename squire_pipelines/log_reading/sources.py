"""Which files of a home are logs, and what is known of all lines of each. Reads folders, and no log."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.domain.log_lines import TIMES_SUFFIX, LineOrigin
from squire_pipelines.file_store.layout import ATTEMPTS
from squire_pipelines.home import Home
from squire_pipelines.observability.log_files import FileKey

MAX_SOURCES = 100_000
"""Files that are looked at; a home with its bounds has far fewer."""

_PROCESS_LOG = re.compile(r"([a-z0-9-]{1,40})\.log(?:\.\d{1,3})?")
_COMPONENTS = {"receiver": "webhooks", "code-server": "pipeline", "endpoint": "endpoint", "board": "board"}
_ATTEMPT = re.compile(r"([0-9a-z]{1,40})-\d{1,9}")
_CALLS = re.compile(r"calls-[0-9a-f]{8}\.jsonl")
GATEWAY_LOG = "gateway.log"
"""What the gateway's container of an attempt wrote, in the attempt's folder `gateway`."""


@dataclass(frozen=True, slots=True)
class LogSource:
    """A file with lines in the order of time.

    Args:
        path: Where it is now.
        key: Which file it is, whatever its name becomes.
        size: Bytes.
        changed_at: When it was written last, in seconds since 1970.
        origin: What is known of all its lines.
        times: The file that says when which part of it was written, for lines without a time.
    """

    path: Path
    key: FileKey
    size: int
    changed_at: float
    origin: LineOrigin
    times: Path | None = None


def find_sources(home: Home, *, since: float, processes_alone: bool = False) -> Iterator[LogSource]:
    """Yield the logs of a home that were written since a moment, each file once; only those of processes if asked."""
    places = [_process_logs(home)] if processes_alone else [_process_logs(home), _run_logs(home), _attempt_logs(home)]
    count = 0
    keys: set[FileKey] = set()
    for place in places:
        for path, origin, times in place:
            try:
                status = path.lstat()
            except OSError:
                continue  # rotated or removed meanwhile; a renamed one is seen under its new name
            key = (status.st_dev, status.st_ino)
            is_file = stat.S_ISREG(status.st_mode)
            if not is_file or status.st_size == 0 or status.st_mtime < since or key in keys:
                continue
            keys.add(key)
            yield LogSource(path, key, status.st_size, status.st_mtime, origin, times)
            count += 1
            if count >= MAX_SOURCES:
                return


_Place = Iterator[tuple[Path, LineOrigin, Path | None]]


def _process_logs(home: Home) -> _Place:
    for name in _names(home.run):
        match = _PROCESS_LOG.fullmatch(name)
        if match is not None:
            yield home.run / name, LineOrigin(_COMPONENTS.get(match[1], match[1]), f"{home.run.name}/{name}"), None


def _run_logs(home: Home) -> _Place:
    storage = home.dagster / "storage"
    for run_id in _names(storage):
        folder = storage / run_id / "compute_logs"
        for name in _names(folder):
            if name.endswith((".out", ".err")):
                source = f"{home.dagster.name}/storage/{run_id}/compute_logs/{name}"
                yield folder / name, LineOrigin("pipeline", source, {}, run_id), None


def _attempt_logs(home: Home) -> _Place:
    own = set(_names(home.attempts))
    brought = home.stored_files / ATTEMPTS
    places = [*((home.attempts, name) for name in sorted(own)), *((brought, name) for name in _names(brought))]
    for place, attempt_id in places:
        match = _ATTEMPT.fullmatch(attempt_id)
        # A copy of another machine's log counts where this one has none of its own.
        if match is None or (place == brought and attempt_id in own):
            continue
        folder, context = place / attempt_id, {"task_id": match[1], "attempt_id": attempt_id}
        source = f"{home.attempts.name}/{attempt_id}"
        log = folder / "agent.log"
        yield (
            log,
            LineOrigin("agent", f"{source}/agent.log", context, is_strangers=True),
            log.with_name(f"{log.name}{TIMES_SUFFIX}"),
        )
        gateway = folder / "gateway"
        for name in _names(gateway):
            if _CALLS.fullmatch(name) or name == GATEWAY_LOG:
                yield gateway / name, LineOrigin("gateway", f"{source}/gateway/{name}", context), None


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names alone: thousands of folders
    except OSError:
        return []
