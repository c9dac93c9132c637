"""How schedules are shown to people and programs."""

from dataclasses import asdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from squire_pipelines.ledger.schedules import Schedule


def local_time(moment: datetime | None, time_zone: str) -> str:
    """Return a moment as clocks in a zone show it, with the zone's name; empty for none.

    In UTC where this machine does not know the zone, as another one did when the schedule was made.
    """
    try:
        zone = ZoneInfo(time_zone)
    except (LookupError, ValueError, OSError):
        zone, time_zone = ZoneInfo("UTC"), "UTC"
    return "" if moment is None else f"{moment.astimezone(zone):%Y-%m-%d %H:%M} {time_zone}"


def when(schedule: Schedule) -> str:
    """Return the cron text, or that it is due once."""
    return schedule.cron or "once"


def as_json(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule for `--json`."""
    return {**asdict(schedule), "spec": schedule.spec}
