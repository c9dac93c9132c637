"""Deletes what Dagster itself keeps for ever: runs that are over, with their events and output, and the logs of ticks.

Runs go by Dagster's own API, one at a time, within a bound of runs and of seconds. What that leaves in the files is
removed by `upkeep.dagster_files`. A purge that was killed is completed by the next one.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.domain.run_retention import RunRetention
from squire_pipelines.sections.operation import RetentionSettings

_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_PAGE = 500


@dataclass(frozen=True, slots=True)
class PurgedRuns:
    """Which runs a purge has deleted, or would delete, and `more` when its bounds ended it."""

    deleted: tuple[str, ...] = ()
    kept_for_assets: int = 0
    more: bool = False


def retention_of_runs(settings: RetentionSettings) -> RunRetention:
    """Return for how long the settings keep runs."""
    return RunRetention(
        attempts=timedelta(days=settings.attempt_runs_days),
        routine=timedelta(days=settings.routine_runs_days),
        failed=timedelta(days=settings.failed_runs_days),
        most=settings.max_runs,
    )


def purge_runs(
    instance: dg.DagsterInstance,
    retention: RunRetention,
    *,
    now: datetime,
    in_use: Collection[str],
    most: int,
    seconds: float,
    monotonic: Callable[[], float] = time.monotonic,
) -> PurgedRuns:
    """Delete runs that were kept for long enough, the oldest first.

    A run that is not over stays, one of an attempt that has not ended stays, and so does the run of the newest
    materialization of each asset or partition, which the UI would else show as never made.

    Args:
        instance: Keeps the runs.
        retention: For how long.
        now: To which ages are compared.
        in_use: Ids of attempts that have not ended.
        most: Runs that are deleted at most.
        seconds: After which no further run is deleted.
        monotonic: Seconds.
    """
    deadline = monotonic() + seconds
    due = due_runs(instance, retention, now=now, in_use=in_use, most=most)
    for number, run_id in enumerate(due.deleted):
        if monotonic() >= deadline:
            return replace(due, deleted=due.deleted[:number], more=True)
        delete_run(instance, run_id)
    return due


def due_runs(
    instance: dg.DagsterInstance, retention: RunRetention, *, now: datetime, in_use: Collection[str], most: int
) -> PurgedRuns:
    """Return the runs that `purge_runs` would delete, the oldest first."""
    newest = runs_of_newest_assets(instance)
    due, kept, more = _due_runs(instance, retention, now=now, in_use=in_use, newest=newest, most=most)
    return PurgedRuns(tuple(due), kept, more)


def delete_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run, its events and the output that its steps printed; one that is half deleted is no error."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    instance.delete_run(run_id)


def missing_runs(instance: dg.DagsterInstance, run_ids: Collection[str]) -> list[str]:
    """Return which of these runs Dagster does not know, or not any more."""
    ids = list(run_ids)
    known: set[str] = set()
    for start in range(0, len(ids), _PAGE):
        page = ids[start : start + _PAGE]
        known.update(run.run_id for run in instance.get_runs(dg.RunsFilter(run_ids=page), limit=_PAGE))
    return [run_id for run_id in ids if run_id not in known]


def runs_of_newest_assets(instance: dg.DagsterInstance) -> set[str]:
    """Return the runs that made what is newest of each asset, or of each of its partitions."""
    runs = set()
    for key in instance.all_asset_keys():
        newest = instance.get_latest_materialization_event(key)
        runs.update([newest.run_id] if newest is not None else [])
        by_partition = instance.event_log_storage.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        ids = list(by_partition.values())
        for start in range(0, len(ids), _PAGE):
            page = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[start : start + _PAGE])
            runs.update(record.run_id for record in instance.fetch_materializations(page, limit=_PAGE).records)
    return runs


def _due_runs(
    instance: dg.DagsterInstance,
    retention: RunRetention,
    *,
    now: datetime,
    in_use: Collection[str],
    newest: Collection[str],
    most: int,
) -> tuple[list[str], int, bool]:
    """Return runs to delete, how many are kept for their assets alone, and whether there may be more."""
    surplus = instance.get_runs_count(dg.RunsFilter(statuses=_FINISHED)) - retention.most
    old = dg.RunsFilter(statuses=_FINISHED, updated_before=None if surplus > 0 else now - retention.shortest)
    due: list[str] = []
    kept, cursor = 0, None
    while True:
        records = instance.get_run_records(old, limit=_PAGE, cursor=cursor, ascending=True)
        for record in records:
            run = record.dagster_run
            ended_at = datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)
            is_due = retention.is_due(run.job_name, ended_at, now, succeeded=run.is_success)
            if not is_due and len(due) >= surplus:
                continue
            if run.run_id in newest:
                kept += 1
                continue
            if run.tags.get(tags.ATTEMPT) in in_use:
                continue
            due.append(run.run_id)
            if len(due) >= most:
                return due, kept, True
        if len(records) < _PAGE:
            return due, kept, False
        cursor = records[-1].dagster_run.run_id
