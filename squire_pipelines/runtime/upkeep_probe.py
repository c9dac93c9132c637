"""The probe of what keeps a home small: the job `clean` by its last success, and what grows by its bounds."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError

from squire_pipelines.domain.condition_rules import UpkeepFacts, upkeep_state
from squire_pipelines.domain.cron_times import CronTimes
from squire_pipelines.domain.service_rules import STARTS_WITHIN_S
from squire_pipelines.errors import LedgerError
from squire_pipelines.health.probe import Probe, States
from squire_pipelines.health.process_records import process_facts
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.runtime.dagster_home import open_instance, storage_mark
from squire_pipelines.settings.model import Settings
from squire_pipelines.upkeep.growth import measure_growth

CLEAN = "clean"
_EVERY_S = 900.0
_TIMEOUT_S = 60.0
_BUSY_TIMEOUT_S = 3.0


def upkeep_probe(settings: Settings) -> Probe:
    """Return the probe, which is seldom run, since it counts files."""
    return Probe("upkeep", ("upkeep",), _EVERY_S, _TIMEOUT_S, lambda: look_at_upkeep(settings), STARTS_WITHIN_S)


def look_at_upkeep(settings: Settings, *, now: Callable[[], float] = time.time) -> States:
    """Look at the last success of `clean`, and at what grows. Imports Dagster where there is any.

    Args:
        settings: Say where the home is, and when `clean` is due.
        now: The clock that Dagster writes, in seconds since 1970.
    """
    times, moment = CronTimes(settings.retention.schedule, ZoneInfo("UTC")), datetime.fromtimestamp(now(), UTC)
    first = times.after(moment)
    interval_s = (times.after(first) - first).total_seconds()
    return {"upkeep": upkeep_state(UpkeepFacts(_clean_age_s(settings, now()), interval_s, _beyond(settings, now)))}


def _clean_age_s(settings: Settings, now: float) -> float | None:
    """Return since when `clean` has not succeeded, or could have since the daemon runs; None where none ever could."""
    made = storage_mark(settings)
    if not made.exists():
        return None
    import dagster as dg  # noqa: PLC0415 - over a second, which only this needs

    successes = dg.RunsFilter(job_name=CLEAN, statuses=[dg.DagsterRunStatus.SUCCESS])
    try:
        with open_instance(settings) as instance:
            records = instance.get_run_records(successes, limit=1)
    except (SQLAlchemyError, OSError):
        return None  # the daemon's condition says what is wrong with it
    last = records[0].end_time if records and records[0].end_time else made.stat().st_mtime
    daemon = process_facts(settings.home.run / "daemon.pid")
    age_s = max(0.0, now - last)
    return min(age_s, daemon.age_s) if daemon.is_alive else age_s


def _beyond(settings: Settings, now: Callable[[], float]) -> tuple[tuple[str, str], ...]:
    ledger = Ledger(settings.resolved_ledger_url, busy_timeout_s=_BUSY_TIMEOUT_S)
    try:
        is_there = not ledger.is_sqlite or ledger.path.exists()
        usable = ledger if is_there and ledger.is_usable() else None
        sizes = tuple(measure_growth(settings, usable, now=now))
    except LedgerError:
        sizes = tuple(measure_growth(settings, None, now=now))  # the ledger's own condition says why
    finally:
        ledger.close()
    return tuple((str(size), size.remedy) for size in sizes if size.is_beyond)
