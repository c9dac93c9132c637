"""All that Dagster sees, put together: assets, jobs, schedules, sensors and resources. Logic lives elsewhere."""

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.assets.budgets import budget_check
from squire_pipelines.assets.deliveries import delivery_specs
from squire_pipelines.assets.history import history_tables
from squire_pipelines.assets.page_urls import asset_links
from squire_pipelines.assets.plans import budgets_spec, plan_tasks, pull_requests
from squire_pipelines.assets.report import report
from squire_pipelines.assets.signals import collect_signals
from squire_pipelines.assets.signals_summary import signals_summary
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.reading_times import is_due
from squire_pipelines.errors import ConfigError
from squire_pipelines.home import Home
from squire_pipelines.jobs import by_hand, signals_by_hand
from squire_pipelines.jobs.agent_run import agent_run
from squire_pipelines.jobs.backups import back_up
from squire_pipelines.jobs.delivery_repair import repair_deliveries
from squire_pipelines.jobs.executors import choose_executor
from squire_pipelines.jobs.follow import follow
from squire_pipelines.jobs.maintenance import clean_job, clean_schedule, tend_warm_pool
from squire_pipelines.jobs.recovery import recover
from squire_pipelines.observability.logging import Component
from squire_pipelines.observability.process_counts import count_process
from squire_pipelines.partitions import ensure_repositories
from squire_pipelines.process_setup import outlive_hang_ups, set_up_process
from squire_pipelines.resources.github import GitHubResource
from squire_pipelines.resources.parameters import SettingsParam
from squire_pipelines.resources.stores import LedgerResource, SettingsResource, followed_settings
from squire_pipelines.sensors.audit import seal_audit
from squire_pipelines.sensors.backups import backups
from squire_pipelines.sensors.deliveries import report_deliveries
from squire_pipelines.sensors.delivery_repair import delivery_repair
from squire_pipelines.sensors.dispatch import dispatch
from squire_pipelines.sensors.history import history_follows_events
from squire_pipelines.sensors.outcomes import outcomes
from squire_pipelines.sensors.planning import plan_follows_signals
from squire_pipelines.sensors.reaper import reaper, recovery
from squire_pipelines.sensors.settings import follow_settings
from squire_pipelines.sensors.task_schedules import task_schedules
from squire_pipelines.sensors.warm_pool import warm_pool
from squire_pipelines.sensors.webhooks import collection_run, webhooks
from squire_pipelines.settings.model import Settings

# Run monitoring ends what hangs or was killed; agents have their own wall clock and their lease.
_MAX_RUNTIME = {"dagster/max_runtime": "900"}
_EACH_MINUTE = "* * * * *"


def _asset_job(
    name: str, selection: dg.AssetSelection, description: str, *, config: dict[str, Any] | None = None
) -> Any:
    return dg.define_asset_job(
        name,
        selection=selection,
        description=description,
        config=config,
        executor_def=dg.in_process_executor,
        tags={**_MAX_RUNTIME, "squire/part": name},
    )


_COLLECT = _asset_job(
    "collect", dg.AssetSelection.assets(collect_signals), "Read the signals of many repositories in one run."
)
_PLAN = _asset_job(
    "plan",
    dg.AssetSelection.assets(plan_tasks),
    "Plan for the repositories whose signals have changed, and admit what passes the checks.",
)
_PUBLISH_HISTORY = _asset_job(
    "publish_history",
    dg.AssetSelection.assets(history_tables) | dg.AssetSelection.checks(budget_check),
    "Publish the warehouse from the ledger, and check the budgets.",
)
_REBUILD_HISTORY = _asset_job(
    "rebuild_history",
    dg.AssetSelection.assets(history_tables),
    "Build the warehouse from the ledger and the archive, as if there were none.",
    config={"ops": {"build_history": {"config": {"full": True}}}},
)
_REPORT_HISTORY = _asset_job(
    "report_history", dg.AssetSelection.assets(report), "Write the report from what was published last."
)


def _collect_schedule(settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="collect_regularly",
        job_name="collect",
        cron_schedule=settings.collection.schedule if settings.collection.interval_s is None else _EACH_MINUTE,
        execution_timezone=settings.collection.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Reads all repositories, whether or not a delivery said that something has happened.",
    )
    def collect_regularly(
        context: dg.ScheduleEvaluationContext, settings: SettingsParam
    ) -> dg.RunRequest | dg.SkipReason:
        rhythm, now = settings.collection, context.scheduled_execution_time
        if rhythm.interval_s is not None and not is_due(now, rhythm.interval_s):
            return dg.SkipReason(f"collection.interval_s is {rhythm.interval_s}, and it is not time yet")
        if rhythm.is_quiet(now):
            return dg.SkipReason(f"collection.quiet_hours are {rhythm.quiet_hours} in {rhythm.time_zone}")
        names = settings.repositories
        if not names:
            return dg.SkipReason("no repositories are set: name some in the configuration, or run `squire init`")
        ensure_repositories(context.instance, names)
        return collection_run(context.instance, names, trace_id=new_trace_id())

    return collect_regularly


def build_defs(
    settings: Settings | None = None, *, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """Return fresh definitions.

    Args:
        settings: Decide on schedules and the executor; read from the usual places when not given. When those cannot
            be used, the definitions are those of the default settings, so that the code location loads: each sensor,
            schedule and run then fails with the error, where people see it, and `metadata` has it too.
        resource_overrides: Take the place of resources of the same name, in tests.
    """
    metadata: dict[str, Any] = {}
    try:
        settings = settings or followed_settings().settings
        executor = choose_executor(settings)
    except ConfigError as error:
        settings, executor = settings or Settings.model_construct(), dg.in_process_executor
        metadata["settings_error"] = dg.MetadataValue.text(str(error))
    settings.logging.apply()
    source = SettingsResource(config_file=os.environ.get("SQUIRE_CONFIG"))
    return dg.Definitions(
        assets=dg.map_asset_specs(
            lambda spec: spec.merge_attributes(metadata=asset_links(settings, spec.key)),
            [
                *delivery_specs,
                collect_signals,
                signals_summary,
                plan_tasks,
                budgets_spec,
                pull_requests,
                history_tables,
                report,
            ],
        ),
        asset_checks=[budget_check],
        jobs=[
            _COLLECT,
            _PLAN,
            _PUBLISH_HISTORY,
            _REBUILD_HISTORY,
            _REPORT_HISTORY,
            agent_run,
            follow,
            recover,
            repair_deliveries,
            clean_job,
            back_up,
            tend_warm_pool,
            *by_hand.JOBS,
            *signals_by_hand.JOBS,
        ],
        schedules=[
            _collect_schedule(settings),
            clean_schedule(settings),
            dg.ScheduleDefinition(
                name="publish_history_regularly",
                job=_PUBLISH_HISTORY,
                cron_schedule="*/10 * * * *",
                execution_timezone="UTC",
                default_status=dg.DefaultScheduleStatus.RUNNING,
                description="Publishes the warehouse at least every ten minutes.",
                tags_fn=lambda _context: {tags.TRACE: new_trace_id()},
            ),
            dg.ScheduleDefinition(
                name="report_daily",
                job=_REPORT_HISTORY,
                cron_schedule="10 5 * * *",
                execution_timezone="UTC",
                default_status=dg.DefaultScheduleStatus.RUNNING,
                description="Writes the report every morning.",
                tags_fn=lambda _context: {tags.TRACE: new_trace_id()},
            ),
        ],
        sensors=[
            webhooks,
            report_deliveries,
            delivery_repair,
            backups,
            plan_follows_signals,
            task_schedules,
            dispatch,
            reaper,
            recovery,
            outcomes,
            history_follows_events,
            warm_pool,
            seal_audit,
            follow_settings,
        ],
        resources={
            "settings": source,
            "ledger": LedgerResource(settings=source),
            "github": GitHubResource(settings=source),
            **(resource_overrides or {}),
        },
        executor=executor,
        metadata=metadata,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return what Dagster's processes load. No main program of ours runs in them, so they are set up here."""
    set_up_process(Component.PIPELINE)
    count_process(Component.PIPELINE, Home.from_environment().metrics)
    outlive_hang_ups()
    return build_defs()
