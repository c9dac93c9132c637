"""How long the ledger's rows are kept by the settings: rules are `ledger.retention`'s, the archive `warehouse`'s."""

from datetime import timedelta

from squire_pipelines.ledger.forgetting import ForgettingAges
from squire_pipelines.ledger.retention import Retention
from squire_pipelines.sections.operation import RetentionSettings


def retention_from(settings: RetentionSettings) -> Retention:
    """Return the retention that the settings describe."""
    days = {
        "tasks": settings.tasks_days,
        "deliveries": settings.deliveries_days,
        "delivery_effects": settings.deliveries_days,
        "delivery_refusals": settings.deliveries_days,
        "delivery_checks": settings.deliveries_days,
        "collections": settings.collections_days,
        "signals": settings.signals_days,
        "signal_events": settings.signals_days,
        "signal_episodes": settings.signals_days,
        "check_reruns": settings.signals_days,
        "plans": settings.plans_days,
        "model_calls": settings.model_calls_days,
        "budgets": settings.budgets_days,
        "alerts": settings.alerts_days,
        "audit": settings.audit_days,
    }
    return Retention({table: timedelta(days=count) for table, count in days.items()})


def forgetting_ages(settings: RetentionSettings, *, grace: timedelta = timedelta(0)) -> ForgettingAges:
    """Return how long rows are kept that go to no archive, and so much longer."""
    plans, ended_schedules, alerts = (
        timedelta(days=days) + grace
        for days in (settings.plan_answers_days, settings.schedules_days, settings.alerts_days)
    )
    return ForgettingAges(plans, ended_schedules, alerts)
