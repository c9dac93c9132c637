"""The planning sensor: whatever collected signals, schedule or webhook, a plan follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.deadline import Deadline
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.plan_groups import is_group
from squire_pipelines.partitions import partition_requests, range_tags
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.activity import active_runs, reason_to_wait
from squire_pipelines.sensors.ticks import counted_ticks
from squire_pipelines.sensors.waiting import has_paused

if TYPE_CHECKING:
    from squire_pipelines.ledger.store import Ledger
    from squire_pipelines.settings.model import Settings


@dg.sensor(
    name="plan_follows_signals",
    job_name="plan",
    minimum_interval_seconds=intervals.WORK_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Plans for repositories with new readings or other settings, and where a model is asked again.",
    tags={"squire/part": "plan"},
)
@counted_ticks("plan_follows_signals")
def plan_follows_signals(
    context: dg.SensorEvaluationContext, settings: SettingsParam, ledger: LedgerParam
) -> dg.SensorResult | dg.SkipReason:
    """Request one run for all that are due; never two at once.

    Also due are plans that have not become tasks, those whose model is to be asked again, and those of other settings.
    The end of a collection is waited for within the tick, for a while: the next one could begin before the next tick.
    """
    due = _read_due(ledger, settings)
    deadline = Deadline.after(settings.dispatch.wait_s)
    if due.names and _waits_for_end(context.instance, deadline, settings.home.run):
        due = _read_due(ledger, settings)
    if not due.names:
        reasons = [f"{name} waits: {why}" for name, why in due.stopped.items()]
        return dg.SkipReason("; ".join(["every reading has been planned", *reasons]))
    wait = reason_to_wait(context.instance, "plan", retry_after_s=settings.pipeline.redelivery_s, exclusive=["collect"])
    if wait is not None:
        return dg.SkipReason(f"{len(due.names)} repositories wait: {wait}")
    config = {"config": {"repositories": due.names}}
    request = dg.RunRequest(
        job_name="plan",
        tags={tags.TRACE: due.trace_id, **range_tags(context.instance, due.names)},
        run_config={"ops": {"plan_tasks": config}},
    )
    return dg.SensorResult([request], dynamic_partitions_requests=partition_requests(context.instance, due.names))


def _waits_for_end(instance: dg.DagsterInstance, deadline: Deadline, run: Path) -> bool:
    """Wait for the end of a collection, where no plan is being made; return whether there was one."""
    waited = False
    while active_runs(instance, "collect") and not active_runs(instance, "plan") and has_paused(deadline, run):
        waited = True
    return waited


@dataclass(frozen=True, slots=True)
class _DuePlans:
    """The repositories for which a plan is to be made, its trace, and those in which none is, with the reason."""

    names: list[str]
    trace_id: str
    stopped: Mapping[str, str]


def _read_due(ledger: "Ledger", settings: "Settings") -> _DuePlans:
    from squire_pipelines.execution.group_planning import due_groups
    from squire_pipelines.execution.repository_settings import repository_settings
    from squire_pipelines.ledger import collections, plan_retries, plans
    from squire_pipelines.planning.digest import settings_digest

    own = repository_settings(ledger, settings)
    stopped = own.stopped
    digests = {name: settings_digest(own.of(name), name) for name in settings.repositories}
    with ledger.read() as tx:
        due = {name: reading for name, reading in collections.unplanned(tx).items() if name not in stopped}
        names = [
            name
            for name in dict.fromkeys([*due, *plans.unadmitted(tx), *plan_retries.due_again(tx, digests)])
            if not is_group(name) and name not in stopped
        ]
        names += [group.repositories[0] for group in due_groups(tx, settings, stopped)]
        # Each plan has the trace of the reading that it follows; the run's is that of the newest, if all follow one.
        follows = due.keys() >= set(names)
        trace_id = collections.trace_of(tx, max(due.values())) if due and follows else new_trace_id()
    return _DuePlans(list(dict.fromkeys(names)), trace_id, stopped)
