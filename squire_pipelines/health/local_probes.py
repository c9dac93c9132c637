"""The probes that ask nothing beyond this machine and the ledger, and are done in milliseconds.

No client of the engine, of GitHub or of models is imported here: a command that only reads has no time for that.
"""

from squire_pipelines.health.ledger_probe import ledger_probe
from squire_pipelines.health.machine_probes import disk_probe
from squire_pipelines.health.probe import Probe
from squire_pipelines.health.settings_probe import settings_probe
from squire_pipelines.settings.model import Settings


def local_probes(settings: Settings) -> tuple[Probe, ...]:
    """Return the probes."""
    return (settings_probe(settings), ledger_probe(settings), disk_probe(settings))
