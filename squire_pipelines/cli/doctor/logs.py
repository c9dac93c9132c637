"""The check of the processes' logs: what they take, and the bound that the settings set."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.text import counted, size
from squire_pipelines.observability.debugging import read_windows
from squire_pipelines.sections.operation import LoggingSettings

_SLACK = 1.5
"""A file may be larger than its bound by what is written within a second."""


def check_logs(context: CliContext) -> Iterator[Diagnosis]:
    """Check that the logs of the processes are within their bounds, and say what is debugged."""
    yield judge_logs(log_sizes(context.home.run), context.settings.logging)
    now = datetime.now(UTC)
    for window in read_windows(context.home.debug_file):
        if window.is_open(now):
            text = (
                f"{window.repository or 'all repositories'}: until {window.until:%Y-%m-%d %H:%M} UTC, by {window.actor}"
            )
            step = "`squire debug off` ends it sooner: bodies of calls and containers are kept until then"
            yield Diagnosis("debugging", "warn", text, step)


def log_sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file of the processes' logs, by its name."""
    sizes: dict[str, int] = {}
    for path in sorted((*folder.glob("*.log"), *folder.glob("*.log.*[0-9]"))):
        try:
            sizes[path.name] = path.stat().st_size
        except OSError:
            continue  # it was rotated meanwhile
    return sizes


def judge_logs(sizes: dict[str, int], settings: LoggingSettings) -> Diagnosis:
    """Return the line about the logs of these sizes."""
    logs = {name.partition(".log")[0] for name in sizes}
    bound = f"{settings.files} of at most {size(settings.max_file)} for each process"
    text = f"{size(sum(sizes.values()))} in {counted(len(sizes), 'file')} of {len(logs)} processes, {bound}"
    too_large = max(sizes, key=lambda name: sizes[name], default="")
    if too_large and sizes[too_large] > settings.max_file * _SLACK:
        step = "start Squire again: what writes it was started by other means than `squire dev`, or does not rotate it"
        return Diagnosis("logs", "warn", f"{text}; {too_large} has {size(sizes[too_large])}", step)
    return Diagnosis("logs", "ok", text)
