"""What the home's files say, as gauges: room, the size of stores, when the warehouse was published, conditions."""

import contextlib
import shutil
from pathlib import Path

from squire_pipelines.endpoint.gauges import Gauges
from squire_pipelines.health.stored_conditions import current_conditions
from squire_pipelines.metrics import families
from squire_pipelines.settings.model import Settings


def read_machine(settings: Settings) -> Gauges:
    """Return what can be seen of the home's files; what is not there has no value."""
    gauges = Gauges()
    home = settings.home
    for place, folder in (("data", home.data), ("state", home.state), ("cache", home.cache)):
        with contextlib.suppress(OSError):
            usage = shutil.disk_usage(_existing(folder))
            gauges.set(families.DISK_FREE, usage.free, place)
            gauges.set(families.DISK_SIZE, usage.total, place)
    if settings.ledger_file is not None:
        for name, path in (
            ("ledger", settings.ledger_file),
            ("wal", settings.ledger_file.with_name(f"{settings.ledger_file.name}-wal")),
        ):
            with contextlib.suppress(OSError):
                gauges.set(families.LEDGER_SIZE, path.stat().st_size, name)
    with contextlib.suppress(OSError):
        status = home.warehouse.stat()
        gauges.set(families.WAREHOUSE_SIZE, status.st_size)
        gauges.set(families.WAREHOUSE_PUBLISHED, status.st_mtime)
    for condition in current_conditions(home):
        gauges.set(families.CONDITION, condition.level.severity, condition.name)
        gauges.set(families.CONDITION_CHECKED, condition.checked_at.timestamp(), condition.name)
    return gauges


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
