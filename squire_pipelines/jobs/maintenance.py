"""The job `clean`: what was kept long enough goes from the ledger to the archive, once a day."""

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.resources.stores import LedgerResource, SettingsResource
from squire_pipelines.settings import Settings
from squire_pipelines.warehouse.archive import clean, retention_of


@dg.op(name="archive_and_delete")
def archive_and_delete(context: dg.OpExecutionContext, settings: SettingsResource, ledger: LedgerResource) -> None:
    """Archive rows as Parquet, then delete them; tasks that something still holds stay."""
    chosen = settings.load()
    cleaned = clean(
        ledger.open(),
        chosen.home.archive,
        retention_of(chosen.retention),
        most=chosen.retention.max_rows_per_run,
        progress=lambda table, count: context.log.info("%s: %d archived", table, count),
    )
    context.add_output_metadata(
        {
            **{f"archived/{table}": count for table, count in cleaned.rows.items()},
            **{f"held/{reason}": count for reason, count in cleaned.held.items()},
            "files": len(cleaned.files),
            "bytes": cleaned.bytes,
            "more_is_due": cleaned.more,
            "archive": dg.MetadataValue.path(str(chosen.home.archive)),
        }
    )


@dg.job(
    name="clean",
    description="Move what was kept long enough from the ledger to the archive beside the warehouse.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "3600", "squire/part": "clean"},
)
def clean_job() -> None:
    """One op."""
    archive_and_delete()


def clean_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """When the job runs: once a day unless set otherwise."""
    return dg.ScheduleDefinition(
        name="clean_regularly",
        job=clean_job,
        cron_schedule=settings.retention.schedule,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Archives and deletes what was kept long enough.",
        tags={tags.TRACE: "schedule"},
    )
