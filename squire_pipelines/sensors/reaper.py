"""The sensors `reaper` and `recovery`: attempts whose run died are adopted by another run, or settled by a recovery.

Both only look. What can be adopted is the reaper's; all else, and what belongs to nobody any more, the recovery's.
"""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.deadline import Deadline
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.jobs.recovery import launch_states, recover
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.activity import reason_to_wait
from squire_pipelines.sensors.queue_tags import queue_tags
from squire_pipelines.sensors.ticks import counted_ticks

if TYPE_CHECKING:
    from squire_pipelines.ledger.attempts import Attempt

_ENGINE_TIMEOUT_S = 5.0
_SWEEP_EVERY_S = 600.0


@dg.sensor(
    name="reaper",
    job_name="agent_run",
    minimum_interval_seconds=intervals.SLOW_SENSOR_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Has another run go on with attempts whose run died and whose work is still there.",
    tags={"squire/part": "reaper"},
)
@counted_ticks("reaper")
def reaper(
    context: dg.SensorEvaluationContext, settings: SettingsParam, ledger: LedgerParam
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """The run key names the lease that ran out, so that one lease is adopted once."""
    from squire_pipelines.agents import engine
    from squire_pipelines.execution import recovery as abandonment
    from squire_pipelines.execution.lease_clock import LeaseClock

    with engine.connect_all(_ENGINE_TIMEOUT_S, deadline=Deadline.after(intervals.ENGINE_S)) as clients:
        containers = abandonment.agent_containers(clients, context.log)
        clock = LeaseClock(settings.home.run, settings.dispatch.lease_s)
        launches = launch_states(context.instance)
        abandoned = abandonment.find_abandoned(ledger, settings, containers, launches, clock=clock)
    adoptable = [item for item in abandoned if item.can_be_adopted]
    if not adoptable:
        yield dg.SkipReason("no attempt's run died whose work is still there")
    for item in adoptable:
        context.log.warning(f"attempt {item.attempt.id} is adopted: its run stopped without a word")
        yield _adopting_run(item.attempt, queue_tags(ledger, settings, item.attempt, item.worker))


def _adopting_run(attempt: "Attempt", queue: dict[str, str]) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{attempt.id}+{attempt.lease_token}",
        job_name="agent_run",
        tags={
            tags.ATTEMPT: attempt.id,
            tags.TASK: attempt.task_id,
            tags.REPOSITORY: attempt.repository,
            tags.TRACE: attempt.trace_id,
            tags.ADOPTED_FROM: attempt.run_id or "",
            **queue,
        },
    )


def text_of_loss(lost: Sequence[str], leftovers: int) -> str:
    """Return what is lost and left over, in words; empty for nothing, of which nobody is warned.

    Args:
        lost: The ids of attempts.
        leftovers: How many containers belong to none.
    """
    parts = (
        f"lost attempts: {len(lost)} ({', '.join(lost[:5])})" if lost else "",
        f"containers that are left over: {leftovers}" if leftovers else "",
    )
    return ", ".join(filter(None, parts))


@dg.sensor(
    name="recovery",
    job_name="recover",
    minimum_interval_seconds=intervals.SLOW_SENSOR_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Has lost attempts settled, and containers, reservations and folders of nobody removed.",
    tags={"squire/part": "recover"},
)
@counted_ticks("recovery")
def recovery(
    context: dg.SensorEvaluationContext, settings: SettingsParam, ledger: LedgerParam
) -> dg.RunRequest | dg.SkipReason:
    """The cursor is when folders and reservations were last cleaned up, in seconds since the epoch."""
    from squire_pipelines.agents import engine
    from squire_pipelines.execution import recovery as abandonment
    from squire_pipelines.execution.lease_clock import LeaseClock

    with engine.connect_all(_ENGINE_TIMEOUT_S, deadline=Deadline.after(intervals.ENGINE_S)) as clients:
        containers = abandonment.agent_containers(clients, context.log)
        clock = LeaseClock(settings.home.run, settings.dispatch.lease_s)
        launches = launch_states(context.instance)
        abandoned = abandonment.find_abandoned(ledger, settings, containers, launches, clock=clock)
        leftovers = abandonment.count_leftovers(ledger, settings, clients, context.log)
    lost = [item.attempt.id for item in abandoned if not item.can_be_adopted]
    now = time.time()
    is_sweep_due = now - float(context.cursor or now) >= _SWEEP_EVERY_S
    if not context.cursor:
        context.update_cursor(f"{now:.0f}")
    loss = text_of_loss(lost, leftovers)
    if not (loss or is_sweep_due):
        return dg.SkipReason("no attempt is lost, and no container is left over")
    wait = reason_to_wait(context.instance, recover.name, retry_after_s=settings.pipeline.redelivery_s)
    if wait is not None:
        return dg.SkipReason("; ".join(filter(None, (loss, wait))))
    if loss:
        context.log.warning(loss)
    else:
        context.log.info("it is time to remove old folders and reservations")
    context.update_cursor(f"{now:.0f}")
    return dg.RunRequest(job_name=recover.name, tags={tags.TRACE: new_trace_id()})
