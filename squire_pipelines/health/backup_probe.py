"""The probe of the scheduled backups: how old the newest is. There is none where no schedule is set."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from squire_pipelines.backups.kept import backup_folder, kept_backups
from squire_pipelines.domain.condition_rules import BackupFacts, backup_state
from squire_pipelines.domain.conditions import ConditionState
from squire_pipelines.domain.cron_times import CronTimes
from squire_pipelines.health.probe import Probe
from squire_pipelines.home import named_config
from squire_pipelines.settings.model import Settings

_EVERY_S = 60.0
_TIMEOUT_S = 5.0


def backup_probes(settings: Settings) -> tuple[Probe, ...]:
    """Return the probe, none where backups are not scheduled."""
    if settings.backup.schedule is None:
        return ()
    schedule = settings.backup.schedule
    return (
        Probe("backup", ("backup",), _EVERY_S, _TIMEOUT_S, lambda: {"backup": look_at_backups(settings, schedule)}),
    )


def look_at_backups(settings: Settings, schedule: str, *, now: datetime | None = None) -> ConditionState:
    """Return whether there is a backup that is as new as the schedule makes it.

    Args:
        settings: Say where backups are kept.
        schedule: The cron text.
        now: By default this machine's time.
    """
    now = now or datetime.now(UTC)
    folder, times = backup_folder(settings), CronTimes(schedule, ZoneInfo("UTC"))
    newest = next(iter(kept_backups(folder)), None)
    age_s = None if newest is None else max(0.0, (now - newest.made_at).total_seconds())
    first = times.after(now)
    interval_s = (times.after(first) - first).total_seconds()
    since = _changed_at(settings)
    first_due_s = None if since is None else (times.after(since) - now).total_seconds()
    return backup_state(BackupFacts(str(folder), age_s, interval_s, first_due_s))


def _changed_at(settings: Settings) -> datetime | None:
    """Return when the settings' file was changed last: no backup was due by a schedule that was set after it."""
    try:
        return datetime.fromtimestamp((named_config() or settings.home.config_file).stat().st_mtime, UTC)
    except OSError:
        return None
