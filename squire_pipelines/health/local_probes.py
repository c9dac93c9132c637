"""The probes that ask nothing beyond this machine and the ledger, and are done in milliseconds.

No client of the engine, of GitHub or of models is imported here: a command that only reads has no time for that.
"""

from collections.abc import Callable

from squire_pipelines.health.backup_probe import backup_probes
from squire_pipelines.health.file_store_probe import file_store_probes
from squire_pipelines.health.ledger_probe import ledger_probe
from squire_pipelines.health.machine_probes import disk_probe
from squire_pipelines.health.probe import Probe
from squire_pipelines.health.settings_probe import settings_probe
from squire_pipelines.settings.model import Settings


def local_probes(settings: Settings, note_offset: Callable[[float | None], None] = lambda _: None) -> tuple[Probe, ...]:
    """Return the probes; `note_offset` is told how far this clock is ahead of that of the ledger's server."""
    probes = (settings_probe(settings), ledger_probe(settings, note_offset), disk_probe(settings))
    return (*probes, *file_store_probes(settings), *backup_probes(settings))
