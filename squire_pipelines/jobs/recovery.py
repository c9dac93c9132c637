"""The job `recover`: settles attempts whose run died, removes what belongs to nobody, bounds deliveries' bodies."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.assets.page_urls import board_link
from squire_pipelines.domain.launching import LaunchStage, LaunchState
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.traces import run_trace

if TYPE_CHECKING:
    from squire_pipelines.execution.recovery import AbandonedAttempt

ENGINE_TIMEOUT_S = 10.0
_MAX_REASON = 200
_MAX_RUNS = 10  # an attempt has one run, and at most three that adopt it


def runs_of_attempt(instance: dg.DagsterInstance, attempt_id: str) -> list[dg.DagsterRun]:
    """Return the runs of an attempt: the one that was dispatched, and those that adopted it."""
    return list(instance.get_runs(dg.RunsFilter(tags={tags.ATTEMPT: attempt_id}), limit=_MAX_RUNS))


_STAGES = {
    dg.DagsterRunStatus.NOT_STARTED: LaunchStage.WAITING,
    dg.DagsterRunStatus.QUEUED: LaunchStage.WAITING,
    dg.DagsterRunStatus.STARTING: LaunchStage.STARTING,
}


def launch_states(instance: dg.DagsterInstance) -> Callable[[str], LaunchState]:
    """Return a function that says how far an attempt's run has come; it is over when all of its runs are."""

    def look(attempt_id: str) -> LaunchState:
        runs = runs_of_attempt(instance, attempt_id)
        for run in runs:
            if not run.is_finished:
                return LaunchState(_STAGES.get(run.status, LaunchStage.STARTED))
        if not runs:
            return LaunchState(LaunchStage.REQUESTED)
        return LaunchState(LaunchStage.OVER, _why_over(instance, runs[0]))

    return look


def _why_over(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Return what Dagster says about the end of a run, in one line; empty where it says nothing."""
    kinds = {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED}
    records = instance.get_records_for_run(run.run_id, of_type=kinds, limit=1, ascending=False).records
    event = records[0].event_log_entry.dagster_event if records else None
    return " ".join(((event.message if event is not None else "") or "").split())[:_MAX_REASON]


@dg.op(description="Settle lost attempts; remove containers, reservations and folders that belong to nobody.")
def recover_attempts(context: dg.OpExecutionContext, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Settle and remove in small, repeatable and bounded steps. The sensor sees to attempts that can be adopted."""
    from squire_pipelines.agents import engine
    from squire_pipelines.execution import recovery, stored_work
    from squire_pipelines.execution.lease_clock import LeaseClock
    from squire_pipelines.ledger import workers

    with run_trace(context), engine.connect_all(ENGINE_TIMEOUT_S) as clients:
        containers = recovery.agent_containers(clients, context.log)
        clock, launches = LeaseClock(settings.home.run, settings.dispatch.lease_s), launch_states(context.instance)
        abandoned = recovery.find_abandoned(ledger, settings, containers, launches, clock=clock)
        lost = [attempt for attempt in abandoned if not attempt.can_be_adopted]
        settled = 0
        for attempt in lost:
            if recovery.settle_lost(ledger, settings, attempt, clients, context.log) is not None:
                settled += 1
                _fail_runs(context.instance, attempt)
        removed = recovery.remove_leftovers(ledger, settings, clients, context.log)
        released = recovery.release_reservations(ledger, settings, clock)
        stored = stored_work.store_leftovers(ledger, settings)
        folders = recovery.remove_old_folders(ledger, settings)
        with ledger.write() as tx:
            workers.forget(tx)
    context.add_output_metadata(
        {
            "lost_attempts": settled,
            **board_link(settings, "/tasks"),
            "containers_removed": removed,
            "reservations_released": released,
            "folders_removed": folders,
            "attempts_stored": stored,
        }
    )


@dg.op(description="Remove the oldest bodies of deliveries where all together are larger than the settings permit.")
def bound_delivery_bodies(context: dg.OpExecutionContext, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Do what `clean` does too, which a flood of large deliveries would not wait for."""
    from squire_pipelines.ledger import delivery_body_bound

    with run_trace(context):
        removed = delivery_body_bound.remove_oldest(ledger, settings.retention.max_delivery_bodies)
    context.add_output_metadata({"delivery_bodies_removed": removed, **board_link(settings, "/")})


def _fail_runs(instance: dg.DagsterInstance, abandoned: "AbandonedAttempt") -> None:
    for run in runs_of_attempt(instance, abandoned.attempt.id):
        if not run.is_finished:
            instance.report_run_failed(run, f"attempt {abandoned.attempt.id} was given up: {abandoned.reason}")


@dg.job(
    name="recover",
    description="Settle attempts whose run died, remove what belongs to nobody, and bound the bodies of deliveries.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "300", "squire/part": "recover"},
)
def recover() -> None:
    """Run ops that do not depend on each other."""
    recover_attempts()
    bound_delivery_bodies()
