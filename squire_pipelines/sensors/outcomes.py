"""The sensor `outcomes`: requests a look at our pull requests when deliveries name them, or none came for a while."""

from collections.abc import Callable

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.jobs.follow import follow
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.activity import reason_to_wait
from squire_pipelines.sensors.ticks import counted_ticks


@dg.sensor(
    name="outcomes",
    job_name="follow",
    minimum_interval_seconds=intervals.WORK_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a look at our pull requests when deliveries are about them, or none came for a while.",
    tags={"squire/part": "follow"},
)
@counted_ticks("outcomes")
def outcomes(
    context: dg.SensorEvaluationContext, settings: SettingsParam, ledger: LedgerParam
) -> dg.RunRequest | dg.SkipReason:
    """Request one look at a time."""
    from squire_pipelines.execution.announcing import has_to_announce
    from squire_pipelines.execution.base_watch import has_to_watch
    from squire_pipelines.execution.dashboards import has_dashboard_work
    from squire_pipelines.execution.ending_judgement import has_to_judge
    from squire_pipelines.execution.expiry import has_to_expire
    from squire_pipelines.execution.follow_telling import has_to_tell
    from squire_pipelines.execution.following import due_acts, due_steps
    from squire_pipelines.execution.head_reporting import has_to_report
    from squire_pipelines.execution.merge_telling import has_to_tell_merges
    from squire_pipelines.execution.merging import has_to_merge
    from squire_pipelines.execution.remark_hearing import has_to_show
    from squire_pipelines.execution.repository_settings import repository_settings
    from squire_pipelines.publishing import follow as following

    reason = following.due(ledger, settings)
    if reason is None:
        own = repository_settings(ledger, settings)
        works: tuple[tuple[Callable[[], object], str], ...] = (
            (lambda: due_steps(ledger, own.of), "pull requests have a step to take"),
            (lambda: due_acts(ledger, own.of), "bases or heads of pull requests are to be looked at"),
            (
                lambda: has_to_judge(ledger),
                "how pull requests ended, or whether a merge was taken back, is to be found out",
            ),
            (lambda: has_to_merge(ledger, own.of), "pull requests wait for their merge"),
            (lambda: has_to_watch(ledger, own.of), "base branches are to be looked at after a merge"),
            (lambda: has_to_expire(ledger, own.of), "nothing has happened on pull requests for long"),
            (lambda: has_to_show(ledger, own.of), "remarks are to be shown as heard"),
            (lambda: has_to_tell(ledger, own.of), "there is something to say on our pull requests"),
            (lambda: has_to_tell_merges(ledger, own.of), "there is something to say on our pull requests"),
            (lambda: has_to_report(ledger, own.of), "there is something to report on our commits"),
            (lambda: has_to_announce(ledger, settings, own.of), "proposed tasks are to be announced on their issues"),
            (lambda: has_dashboard_work(ledger, settings, own.of), "a dashboard is to be looked at"),
        )
        reason = next((words for is_due, words in works if is_due()), None)
    if reason is None:
        return dg.SkipReason("nothing was told of our pull requests, and all were asked about recently")
    wait = reason_to_wait(context.instance, follow.name, retry_after_s=settings.pipeline.redelivery_s)
    if wait is not None:
        return dg.SkipReason(f"{reason}; {wait}")
    context.log.info(reason)
    return dg.RunRequest(job_name=follow.name, tags={tags.TRACE: new_trace_id()})
