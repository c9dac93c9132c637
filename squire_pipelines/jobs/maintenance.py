"""Jobs that keep the house: `clean` archives, `tend_warm_pool` makes containers ahead."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.assets.page_urls import board_link
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.settings.model import Settings
from squire_pipelines.traces import run_trace

MAX_RUNS_PER_CLEAN = 10_000
PURGE_S = 1200.0
MIRRORS_S = 900.0
"""What one run of `clean` deletes of Dagster's runs at most, and for how many seconds it does so and tends mirrors."""


@dg.op(name="archive_and_delete", description="Archive rows as Parquet, then delete them from the ledger.")
def archive_and_delete(context: dg.OpExecutionContext, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Tasks that something still holds stay."""
    from squire_pipelines.file_store.opening import store_of
    from squire_pipelines.ledger import delivery_body_bound, forgetting
    from squire_pipelines.upkeep.row_retention import forgetting_ages, retention_from
    from squire_pipelines.warehouse.archive import archive_old_rows

    with run_trace(context):
        result = archive_old_rows(
            ledger,
            settings.home.archive,
            retention_from(settings.retention),
            most=settings.retention.max_rows_per_run,
            progress=lambda table, count: context.log.info("%s: %d archived", table, count),
            store=store_of(settings),
        )
        forgotten = forgetting.forget(ledger, forgetting_ages(settings.retention))  # also of tasks that went just now
        forgotten["delivery_bodies"] = delivery_body_bound.remove_oldest(ledger, settings.retention.max_delivery_bodies)
    context.add_output_metadata(
        {
            **{f"archived/{table}": count for table, count in result.rows.items()},
            **{f"forgotten/{table}": count for table, count in forgotten.items()},
            **{f"kept/{reason}": count for reason, count in result.kept.items()},
            "files": len(result.files),
            "bytes": result.bytes,
            "more_is_due": result.more,
            "archive": dg.MetadataValue.path(str(settings.home.archive)),
            **board_link(settings, "/"),
        }
    )


@dg.op(description="Delete runs of Dagster that were kept for long enough, with their events, output and files.")
def purge_dagster(context: dg.OpExecutionContext, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Never what is under way: its files are younger, its run is not over, and its attempt has not ended."""
    from squire_pipelines.jobs.run_purge import delete_run, missing_runs, purge_runs, retention_of_runs
    from squire_pipelines.ledger import adoption
    from squire_pipelines.upkeep import dagster_files, dagster_tables
    from squire_pipelines.upkeep.dagster_files import DagsterFiles

    with run_trace(context):
        now, files, retention = datetime.now(UTC), DagsterFiles(settings.home.dagster), settings.retention
        with ledger.read() as tx:
            in_use = adoption.open_ids(tx)
        runs = purge_runs(
            context.instance,
            retention_of_runs(retention),
            now=now,
            in_use=in_use,
            most=MAX_RUNS_PER_CLEAN,
            seconds=PURGE_S,
        )
        url = settings.dagster_url_in_use
        routine = now - timedelta(days=retention.routine_runs_days)
        leftovers = dagster_files.leftover_runs(files, before=routine, events=url is None)
        gone = missing_runs(context.instance, leftovers)
        for run_id in gone:
            delete_run(context.instance, run_id)  # one whose purge was killed may have events left
        folders = dagster_files.remove_files_of_runs(files, (*runs.deleted, *gone))
        old = now - timedelta(days=retention.attempt_runs_days)
        ticks = dagster_files.remove_logs_of_ticks(files, before=old)
        shrunk = []
        if url is None:
            rows = dagster_files.delete_rows_of_nobody(files, before=old)
            shrunk = [path.name for path in files.databases() if dagster_files.shrink(path)]
        else:
            rows = dagster_tables.delete_rows_of_nobody(url, before=old)
    context.add_output_metadata(
        {
            "runs_deleted": len(runs.deleted),
            "runs_kept_for_assets": runs.kept_for_assets,
            "more_is_due": runs.more,
            "run_files_removed": folders,
            "tick_logs_removed": ticks,
            **{f"rows/{table}": count for table, count in rows.items()},
            "databases_rewritten": ", ".join(shrunk) or "none",
            **board_link(settings, "/"),
        }
    )


@dg.op(description="Have git repack the mirrors that need it, and remove those that nothing has fetched for long.")
def tend_mirrors(context: dg.OpExecutionContext, settings: SettingsParam) -> None:
    """Bounded by time; what is left is looked after the next day."""
    from squire_pipelines.publishing import mirror_upkeep

    with run_trace(context):
        keep = timedelta(days=settings.retention.mirrors_days)
        tended = mirror_upkeep.tend_mirrors(settings.home, keep=keep, now=datetime.now(UTC), seconds=MIRRORS_S)
    context.add_output_metadata(
        {
            "mirrors_removed": tended.removed,
            "mirrors_maintained": tended.maintained,
            "more_is_due": tended.more,
            **board_link(settings, "/"),
        }
    )


@dg.op(description="Remove from the store of files what is old or surplus, and count what is in it.")
def tend_file_store(context: dg.OpExecutionContext, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Do nothing where no store is set: the folders of the home have rules of their own."""
    from squire_pipelines.file_store.opening import store_of
    from squire_pipelines.upkeep.growth import GRACE_DAYS
    from squire_pipelines.upkeep.store_upkeep import measure_store, remove_from_store
    from squire_pipelines.warehouse.sharing import share_archive

    with run_trace(context):
        store = store_of(settings)
        if store is None:
            return
        archived = share_archive(settings, ledger)
        removed = remove_from_store(ledger, settings, store)
        days = settings.agent.log_retention_days + GRACE_DAYS
        sizes = measure_store(store, old=datetime.now(UTC) - timedelta(days=days))
    context.add_output_metadata(
        {
            "archive_files_stored": archived,
            "attempts_removed": removed.attempts,
            "backups_removed": removed.backups,
            "publications_removed": removed.publications,
            "files": sizes.files,
            "bytes": sizes.bytes,
            **board_link(settings, "/"),
        }
    )


@dg.job(
    name="clean",
    description="Archive and delete what was kept long enough: rows of the ledger, runs of Dagster, unused mirrors.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "3600", "squire/part": "clean"},
)
def clean_job() -> None:
    """Run ops that do not depend on each other: where one fails, the others have run."""
    archive_and_delete()
    purge_dagster()
    tend_mirrors()
    tend_file_store()


def clean_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Return the schedule of the job `clean`: once a day unless the settings say otherwise."""
    return dg.ScheduleDefinition(
        name="clean_regularly",
        job=clean_job,
        cron_schedule=settings.retention.schedule,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Archives and deletes what was kept long enough.",
        tags_fn=lambda _context: {tags.TRACE: new_trace_id()},
    )


@dg.op(description="Make the warm containers that are missing, and remove those that nobody wants.")
def fill_warm_pool(context: dg.OpExecutionContext, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Make few in one run, so that the sensor looks in between whether an attempt needs the engine."""
    from squire_pipelines.execution import warm_pool

    with run_trace(context):
        tended, size = warm_pool.tend(ledger, settings)
    context.add_output_metadata(
        {
            "waiting": tended.waiting,
            "target": size,
            "made": tended.made,
            "removed": tended.removed,
            **board_link(settings, "/"),
        }
    )


@dg.job(
    name="tend_warm_pool",
    description="Keep as many containers waiting for attempts as the settings ask for.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "300", "squire/part": "warm_pool"},
)
def tend_warm_pool() -> None:
    """Run one op."""
    fill_warm_pool()
