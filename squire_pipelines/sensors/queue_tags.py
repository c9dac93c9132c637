"""What a sensor says with a run about its queue, where workers take runs; elsewhere nothing, and no import of it."""

import time
from typing import TYPE_CHECKING

from squire_pipelines.domain.worker_rules import WorkKind, own_queue, queue_of
from squire_pipelines.errors import ConfigError
from squire_pipelines.settings.model import Settings

if TYPE_CHECKING:
    from squire_pipelines.ledger.attempts import Attempt
    from squire_pipelines.ledger.store import Ledger
    from squire_pipelines.work_queue.broker import BrokerWatch

watches: dict[str, "BrokerWatch"] = {}
_QUEUE, _PRIORITY = "dagster-celery/queue", "dagster-celery/run_priority"


def queue_tags(ledger: "Ledger", settings: Settings, attempt: "Attempt", worker: str | None = None) -> dict[str, str]:
    """Return the tags of an attempt's run: its queue, by its agent's labels, and its task's priority.

    Args:
        ledger: Has the task.
        settings: Have the agent's labels.
        attempt: That the run is for.
        worker: The worker that alone can go on with it.
    """
    if not settings.is_shared:
        return {}
    from squire_pipelines.ledger import tasks

    with ledger.read() as tx:
        priority = tasks.get(tx, attempt.task_id).priority
    queue = queue_of(WorkKind.AGENT, _labels(settings, attempt)) if worker is None else own_queue(worker)
    return {_QUEUE: queue, _PRIORITY: str(priority)}


def _labels(settings: Settings, attempt: "Attempt") -> tuple[str, ...]:
    try:
        return settings.agent_for(attempt.repository, attempt.choice).worker_labels
    except ConfigError:
        return ()  # any worker's run says what is wrong with it


def why_broker_is_away(settings: Settings) -> str | None:
    """Return why the broker takes no runs; None when it does, and on one machine. It is asked every few seconds."""
    url = settings.workers.broker_url
    if url is None:
        return None
    if url not in watches:
        from squire_pipelines.work_queue.broker import BrokerWatch, broker_app, check_broker

        app = broker_app(settings)
        watches[url] = BrokerWatch(lambda: check_broker(app), time.monotonic)
    return watches[url].look()
