"""What the machine says, as gauges: room on the disks, the size of the stores, when the warehouse was published."""

import contextlib
import shutil
from pathlib import Path

from squire_pipelines.endpoint.gauges import Gauges
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
    return gauges


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
