"""Jobs that keep the house: `clean` archives, `tend_warm_pool` makes containers ahead, `send_alert` tells people."""

from datetime import timedelta

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.settings.model import Settings
from squire_pipelines.traces import run_trace


@dg.op(name="archive_and_delete", description="Archive rows as Parquet, then delete them from the ledger.")
def archive_and_delete(context: dg.OpExecutionContext, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Tasks that something still holds stay."""
    from squire_pipelines.ledger import (
        announcements,
        base_merges,
        dashboards,
        head_reports,
        heard_remarks,
        plan_answers,
        plan_inputs,
        schedules,
    )
    from squire_pipelines.warehouse.archive import archive_old_rows, retention_from

    with run_trace(context):
        with ledger.write() as tx:
            keep = timedelta(days=settings.retention.plan_answers_days)
            forgotten = {"plan_answers": plan_answers.forget(tx, keep), "plan_inputs": plan_inputs.forget(tx, keep)}
            forgotten["schedules"] = schedules.forget(tx, timedelta(days=settings.retention.schedules_days))
            forgotten["announcements"] = announcements.forget(tx)
            forgotten["dashboard_ticks"] = dashboards.forget(tx)
            forgotten["head_reports"] = head_reports.forget(tx)
            forgotten["heard_remarks"] = heard_remarks.forget(tx)
            forgotten["base_merges"] = base_merges.forget(tx)
        result = archive_old_rows(
            ledger,
            settings.home.archive,
            retention_from(settings.retention),
            most=settings.retention.max_rows_per_run,
            progress=lambda table, count: context.log.info("%s: %d archived", table, count),
        )
    context.add_output_metadata(
        {
            **{f"archived/{table}": count for table, count in result.rows.items()},
            **{f"forgotten/{table}": count for table, count in forgotten.items()},
            **{f"kept/{reason}": count for reason, count in result.kept.items()},
            "files": len(result.files),
            "bytes": result.bytes,
            "more_is_due": result.more,
            "archive": dg.MetadataValue.path(str(settings.home.archive)),
        }
    )


@dg.job(
    name="clean",
    description="Move what was kept long enough from the ledger to the archive beside the warehouse.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "3600", "squire/part": "clean"},
)
def clean_job() -> None:
    """Run one op."""
    archive_and_delete()


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
        {"waiting": tended.waiting, "target": size, "made": tended.made, "removed": tended.removed}
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


class AlertConfig(dg.Config):
    """The alert to send, as JSON. The webhook's URL is no part of it: it may hold a token, and is read by the op."""

    alert: str


@dg.op(
    description="Log an alert, and send it to alerts.webhook_url if that is set.",
    retry_policy=dg.RetryPolicy(max_retries=2, delay=5),
)
def deliver_alert(context: dg.OpExecutionContext, config: AlertConfig, settings: SettingsParam) -> None:
    """An alert that cannot be delivered fails the run; the sensor requests it again."""
    from squire_pipelines.observability.alerts import read_alert, send_alert

    alert = read_alert(config.alert)
    context.log.warning(f"alert: {alert.model_dump_json()}")
    if settings.alerts.webhook_url:
        with run_trace(context):
            send_alert(alert, settings.alerts.webhook_url)
    context.add_output_metadata({"alert": alert.key, "delivered": settings.alerts.webhook_url is not None})


@dg.job(
    name="send_alert",
    description="Tell people of a budget that runs out, of refused settings, or of a planner's model that fails.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "300", "squire/part": "alerts"},
)
def send_alert_job() -> None:
    """Run one op."""
    deliver_alert()
