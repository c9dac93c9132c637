"""All that Dagster sees, put together: assets, jobs, schedules, sensors and resources. Logic lives elsewhere."""

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.assets.budgets import budget_check
from squire_pipelines.assets.history import history_tables
from squire_pipelines.assets.plans import plan_tasks, pull_requests
from squire_pipelines.assets.report import report
from squire_pipelines.assets.signals import collect_signals, signals_summary
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.jobs.agent_run import agent_run_job
from squire_pipelines.jobs.executors import choose_executor
from squire_pipelines.jobs.maintenance import clean_job, clean_schedule
from squire_pipelines.partitions import ensure_repositories
from squire_pipelines.resources.github import GitHubResource
from squire_pipelines.resources.stores import LedgerResource, SettingsResource
from squire_pipelines.sensors.alerts import budget_alerts
from squire_pipelines.sensors.dispatch import dispatch
from squire_pipelines.sensors.history import history_follows_events
from squire_pipelines.sensors.outcomes import outcome_sensor
from squire_pipelines.sensors.planning import plan_follows_signals
from squire_pipelines.sensors.reaper import reaper
from squire_pipelines.sensors.warm_pool import warm_pool
from squire_pipelines.sensors.webhooks import collection_run, webhooks
from squire_pipelines.settings import Settings, load_settings

# Run monitoring ends what hangs or was killed; agents have their own wall clock and their lease.
_MAX_RUNTIME = {"dagster/max_runtime": "900"}


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


def _collect_schedule(settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="collect_regularly",
        job_name="collect",
        cron_schedule=settings.collection.schedule,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Reads all repositories, whether or not a delivery said that something has happened.",
    )
    def collect_regularly(
        context: dg.ScheduleEvaluationContext, settings: SettingsResource
    ) -> dg.RunRequest | dg.SkipReason:
        names = settings.load().repositories
        if not names:
            return dg.SkipReason("no repositories are set: name some in the configuration, or run `squire init`")
        ensure_repositories(context.instance, names)
        return collection_run(context.instance, names, trace_id=new_trace_id())

    return collect_regularly


def build_defs(
    settings: Settings | None = None, *, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """Fresh definitions.

    Args:
        settings: Decide on schedules and the executor; read from the usual places when not given.
        resource_overrides: Take the place of resources of the same name, in tests.

    Raises:
        ConfigError: The settings cannot be used.
    """
    chosen = settings or load_settings()
    source = SettingsResource(config_file=os.environ.get("SQUIRE_CONFIG"))
    resources: dict[str, Any] = {
        "settings": source,
        "ledger": LedgerResource(settings=source),
        "github": GitHubResource(settings=source),
        **(resource_overrides or {}),
    }
    history_job = _asset_job(
        "publish_history", dg.AssetSelection.assets(history_tables), "Publish the warehouse from the ledger."
    )
    report_job = _asset_job(
        "report_history", dg.AssetSelection.assets(report), "Write the report from what was published last."
    )
    return dg.Definitions(
        asset_checks=[budget_check],
        assets=[collect_signals, signals_summary, plan_tasks, pull_requests, history_tables, report],
        jobs=[
            _asset_job(
                "collect",
                dg.AssetSelection.assets(collect_signals),
                "Read the signals of many repositories in one run.",
            ),
            _asset_job(
                "plan",
                dg.AssetSelection.assets(plan_tasks),
                "Plan for the repositories whose signals have changed, and admit what passes the checks.",
            ),
            history_job,
            _asset_job(
                "rebuild_history",
                dg.AssetSelection.assets(history_tables),
                "Build the warehouse from the ledger and the archive anew, as if there were none.",
                config={"ops": {"build_history": {"config": {"full": True}}}},
            ),
            report_job,
            agent_run_job(choose_executor(chosen)),
            clean_job,
        ],
        schedules=[
            _collect_schedule(chosen),
            clean_schedule(chosen),
            dg.ScheduleDefinition(
                name="publish_history_regularly",
                job=history_job,
                cron_schedule="*/10 * * * *",
                execution_timezone="UTC",
                default_status=dg.DefaultScheduleStatus.RUNNING,
                description="Publishes the warehouse at least every ten minutes.",
                tags={tags.TRACE: "schedule"},
            ),
            # Once a day: its pictures stay in Dagster's storage.
            dg.ScheduleDefinition(
                name="report_daily",
                job=report_job,
                cron_schedule="10 5 * * *",
                execution_timezone="UTC",
                default_status=dg.DefaultScheduleStatus.RUNNING,
                description="Writes the report every morning.",
                tags={tags.TRACE: "schedule"},
            ),
        ],
        sensors=[
            webhooks,
            plan_follows_signals,
            dispatch,
            reaper,
            outcome_sensor,
            history_follows_events,
            budget_alerts,
            warm_pool,
        ],
        resources=resources,
    )


defs = build_defs()
