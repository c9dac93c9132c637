"""The check of alerts: whether anybody is told, and whether messages arrive. Nothing is sent."""

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.health.process_records import process_facts
from squire_pipelines.health.stored_conditions import current_conditions, last_look
from squire_pipelines.ledger import alerts as alert_rows

_GUIDE = "docs/guide/alerts.md"


def check_alerts(context: CliContext) -> Iterator[Diagnosis]:
    """Check that alerts have somewhere to go and arrive there."""
    settings = context.settings
    names = settings.alerts.target_names
    if not names:
        step = f"set alerts.webhook_url or alerts.apprise, see {_GUIDE}"
        yield Diagnosis("alerts", "ok", f"nobody is told what goes wrong: {step}")
        return
    if settings.alerts.apprise and find_spec("apprise") is None:
        yield Diagnosis("alerts", "fail", "Apprise is not installed", "install squire-pipelines[alerts]")
        return
    failing = _failing(context)
    for target, error in failing.items():
        yield Diagnosis("alerts", "warn", f"messages to {target} wait: {error}", f"`squire alerts test {target}`")
    _, is_watched = last_look(current_conditions(settings.home), datetime.now(UTC))
    if not is_watched and process_facts(settings.home.run / "endpoint.pid").is_starting:
        yield Diagnosis("alerts", "ok", "the operator's endpoint is starting, which watches and tells")
    elif not is_watched:
        dev = "" if settings.observability.enabled else " with observability.enabled = true"
        step = f"run `squire dev`{dev}, or `squire metrics serve`"
        message = "no operator's endpoint runs for this home, so that nobody watches and tells"
        yield Diagnosis("alerts", "warn", message, step)
    elif not failing:
        yield Diagnosis("alerts", "ok", f"go to {', '.join(names)}; `squire alerts test` tries it")


def _failing(context: CliContext) -> dict[str, str]:
    """Return the targets whose newest try failed, with the reason."""
    if not context.has_ledger:
        return {}
    with context.ledger.read() as tx:
        return {queue.target: queue.error for queue in alert_rows.target_queues(tx) if queue.error}
