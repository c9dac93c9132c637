"""The sensor `budget_alerts`, and how any sensor has an alert sent: by a run of `send_alert`, until one succeeds."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.sensors.activity import seconds_since_failure
from squire_pipelines.sensors.ticks import counted_ticks

if TYPE_CHECKING:
    from squire_pipelines.observability.alerts import Alert

_MAX_PER_TICK = 5
_MAX_REMEMBERED = 500


def sent_alerts(context: dg.SensorEvaluationContext) -> list[str]:
    """Return the keys of the alerts that were sent, which are the sensor's cursor as JSON."""
    sent: list[str] = json.loads(context.cursor or "[]")
    return sent


def request_alerts(
    context: dg.SensorEvaluationContext, alerts: "Sequence[Alert]", sent: list[str], *, again_after_s: float
) -> tuple[list[dg.RunRequest], str]:
    """Return the runs that send what is due, and what the others wait for; an empty text when none waits.

    Args:
        context: The sensor's, whose cursor gets the alerts that were sent by now.
        alerts: What is due.
        sent: The keys of the alerts that were sent.
        again_after_s: After so many seconds a run that failed is requested again.
    """
    requests, under_way, failed = [], 0, 0
    for alert in alerts[:_MAX_PER_TICK]:
        of_alert = dg.RunsFilter(tags={tags.ALERT: alert.key})
        runs = context.instance.get_runs(of_alert, limit=1)
        since_failure = seconds_since_failure(context.instance, of_alert)
        if runs and runs[0].is_success:
            sent.append(alert.key)
        elif runs and not runs[0].is_finished:
            under_way += 1
        elif since_failure is not None and since_failure < again_after_s:
            failed += 1
        else:
            config = {"deliver_alert": {"config": {"alert": alert.model_dump_json()}}}
            marks = {tags.ALERT: alert.key, tags.TRACE: new_trace_id()}
            requests.append(dg.RunRequest(tags=marks, run_config={"ops": config}))
    context.update_cursor(json.dumps(sent[-_MAX_REMEMBERED:]))
    waiting = f"{under_way} alerts are being sent, {failed} failed and are sent again in a while"
    return requests, waiting if under_way or failed else ""


@dg.sensor(
    name="budget_alerts",
    job_name="send_alert",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Has people told of budgets that are nearly or wholly used up, and of a planner's model that fails.",
    tags={"squire/part": "alerts"},
)
@counted_ticks("budget_alerts")
def budget_alerts(
    context: dg.SensorEvaluationContext, settings: SettingsParam, ledger: LedgerParam
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """The cursor is a JSON list of the alerts that were sent. One whose run failed is requested again after a while."""
    from squire_pipelines.execution.repository_settings import repository_settings
    from squire_pipelines.ledger import budgets, plan_retries
    from squire_pipelines.observability.alerts import due_budget_alerts, due_planner_alerts

    limits_of = repository_settings(ledger, settings).of_all.budgets_for
    with ledger.read() as tx:
        levels = budgets.levels(tx, settings.budgets, limits_of, settings.repositories)
        failures = plan_retries.model_failures(tx)
    sent = sent_alerts(context)
    model = settings.planner.model if settings.planner.kind != "rules" else None
    alerts: list[Alert] = [
        *due_budget_alerts(levels, share=settings.alerts.budget_share, sent=sent),
        *(due_planner_alerts(failures, model=model, sent=sent) if model is not None else ()),
    ]
    requests, waiting = request_alerts(context, alerts, sent, again_after_s=settings.pipeline.redelivery_s)
    if not requests:
        yield dg.SkipReason(waiting or "all budgets have room, or it was told")
    yield from requests
