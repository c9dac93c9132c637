"""The job `clean` from a command: old rows, Dagster's runs and unused mirrors of a home, or what would go of them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.assets.page_urls import BOARD
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.errors import NotFoundError, SquireError, StateConflictError
from squire_pipelines.jobs.maintenance import MAX_RUNS_PER_CLEAN, clean_job
from squire_pipelines.jobs.run_purge import due_runs, retention_of_runs
from squire_pipelines.ledger import adoption, delivery_body_bound, forgetting
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.publishing.mirror_upkeep import unused_mirrors
from squire_pipelines.resources.stores import LedgerResource, SettingsResource
from squire_pipelines.runtime.dagster_home import open_instance, storage_mark
from squire_pipelines.sensors.activity import active_runs
from squire_pipelines.settings.model import Settings
from squire_pipelines.upkeep.row_retention import forgetting_ages, retention_from
from squire_pipelines.warehouse.archive import archive_old_rows

Parts = Mapping[str, Mapping[str, Any]]
"""What each part of the job reported, by the names of both."""


def instance_of_home(settings: Settings) -> dg.DagsterInstance:
    """Return Dagster's instance of a home. Raises NotFoundError where Dagster has never run in it."""
    if not storage_mark(settings).exists():
        raise NotFoundError(
            f"Dagster has never run in {settings.home.state}: it has no runs to delete",
            hint="`squire tasks clean` without --home archives old rows of the ledger",
        )
    return open_instance(settings)


def due_in_home(settings: Settings, ledger: Ledger, instance: dg.DagsterInstance) -> Parts:
    """Return what a run of the job would archive and delete now, and change nothing."""
    now, retention = datetime.now(UTC), settings.retention
    rows = archive_old_rows(
        ledger, settings.home.archive, retention_from(retention), dry_run=True, most=retention.max_rows_per_run
    )
    with ledger.read() as tx:
        in_use = adoption.open_ids(tx)
        forgotten = forgetting.count_due(tx, forgetting_ages(retention))
        forgotten["delivery_bodies"] = delivery_body_bound.count_excess(tx, retention.max_delivery_bodies)
    runs = due_runs(instance, retention_of_runs(retention), now=now, in_use=in_use, most=MAX_RUNS_PER_CLEAN)
    mirrors = unused_mirrors(settings.home, keep=timedelta(days=retention.mirrors_days), now=now)
    return {
        "archive_and_delete": {
            **{f"archived/{table}": count for table, count in rows.rows.items()},
            **{f"forgotten/{table}": count for table, count in forgotten.items()},
        },
        "purge_dagster": {"runs_deleted": len(runs.deleted), "runs_kept_for_assets": runs.kept_for_assets},
        "tend_mirrors": {"mirrors_removed": len(mirrors)},
    }


def clean_home(instance: dg.DagsterInstance, *, config_file: str | None) -> Parts:
    """Run the job in this process; Dagster's UI shows it with the others.

    Args:
        instance: See `instance_of_home`.
        config_file: That the job reads its settings from; None for the usual place.

    Raises:
        StateConflictError: A run of the job is under way.
        SquireError: A part has failed; the others have run.
    """
    if active_runs(instance, clean_job.name):
        raise StateConflictError("a run of the job clean is under way", hint="wait for it, and look at Dagster's UI")
    source = SettingsResource(config_file=config_file)
    resources = {"settings": source, "ledger": LedgerResource(settings=source)}
    marks = {tags.TRACE: new_trace_id()}
    run = clean_job.execute_in_process(
        instance=instance,
        resources=resources,
        tags=marks,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},  # a terminal is no log of Dagster's
        raise_on_error=False,
    )
    failures = [event for event in run.all_events if event.is_step_failure]
    if failures:
        texts = "; ".join(f"{event.step_key}: {_reason(event)}" for event in failures)
        raise SquireError(f"a part of the job has failed, and the others have run: {texts}", hint="see `squire logs`")
    return {
        event.step_key: {name: entry.value for name, entry in event.step_output_data.metadata.items() if name != BOARD}
        for event in run.all_events
        # What had nothing to look after, such as a store of files that nobody has set, reports nothing.
        if event.is_successful_output and event.step_key is not None and event.step_output_data.metadata
    }


def _reason(event: dg.DagsterEvent) -> str:
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "no reason"
