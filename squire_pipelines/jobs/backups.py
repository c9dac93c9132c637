"""The job `back_up`, which makes a backup of the home, and its schedule where the settings have one."""

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.home import named_config
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.settings.model import Settings
from squire_pipelines.traces import run_trace


@dg.op(description="Write ledger, settings, sealed secrets and archive into one file, and remove the oldest backups.")
def write_backup(context: dg.OpExecutionContext, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Leave the earlier backups as they are when this one fails; the condition `backup` tells when none is made."""
    from squire_pipelines.backups.folder import back_up_regularly

    with run_trace(context):
        made, removed = back_up_regularly(
            settings,
            ledger,
            config=named_config() or settings.home.config_file,
            with_archive=settings.backup.archive,
            actor="schedule",
            progress=lambda _label, _done, _total: None,
        )
    context.add_output_metadata(
        {
            "file": dg.MetadataValue.path(str(made.path)),
            "bytes": made.bytes,
            "files": len(made.manifest.members),
            "not_included": list(made.manifest.not_included),
            "removed": [path.name for path in removed],
        }
    )


@dg.job(
    name="back_up",
    description="Back up the whole home into one file.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "3600", "squire/part": "back_up"},
)
def back_up() -> None:
    """Run one op."""
    write_backup()


def backup_schedules(settings: Settings) -> tuple[dg.ScheduleDefinition, ...]:
    """Return the schedule of the job; none where `backup.schedule` is not set."""
    if settings.backup.schedule is None:
        return ()
    schedule = dg.ScheduleDefinition(
        name="back_up_regularly",
        job=back_up,
        cron_schedule=settings.backup.schedule,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Backs up the whole home.",
        tags_fn=lambda _context: {tags.TRACE: new_trace_id()},
    )
    return (schedule,)
