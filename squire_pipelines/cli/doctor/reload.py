"""The check of what the running processes have taken of the settings."""

from collections.abc import Iterator

from squire_pipelines.cli.config_reload import remarks
from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.errors import ConfigError
from squire_pipelines.reloading.last_good import version_of
from squire_pipelines.reloading.process_status import read_statuses
from squire_pipelines.settings.file import read_settings_file


def check_processes(context: CliContext) -> Iterator[Diagnosis]:
    """Check that each running process works with the file as it is; nothing is said where none runs."""
    try:
        _ = context.settings
        version = version_of(read_settings_file(context.config_path))
    except ConfigError:
        version = None  # another check tells it
    statuses = read_statuses(context.home)
    texts = list(remarks(statuses, version))
    for text, step in texts:
        yield Diagnosis("reload", "warn", text, step)
    if statuses and not texts:
        names = ", ".join(status.process for status in statuses)
        yield Diagnosis("reload", "ok", f"version {version} in {names}")
