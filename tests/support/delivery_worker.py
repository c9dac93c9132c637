"""What Dagster's daemon and the webhook sensor do with deliveries, as a process of its own that can be killed.

`python -m tests.support.delivery_worker`: in the home of the environment, over and over.
"""

import sys
import time

from squire_pipelines.ledger import deliveries
from squire_pipelines.ledger.deliveries import RequestRule
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.runtime.delivery_watch import DeliveryWatch
from squire_pipelines.settings.model import Settings, load_settings

RULE = RequestRule(retry_after_s=0, max_tries=20)
_PAUSE_S = 0.02


def work_once(settings: Settings, ledger: Ledger, watch: DeliveryWatch) -> int:
    """Do what waits, take what is due for a collection, and record it as made; return how many were taken."""
    watch.look()
    with ledger.read() as tx:
        if not deliveries.has_due(tx, RULE):
            return 0
    with ledger.write() as tx:
        due = deliveries.take_for_collection(tx, RULE)
    with ledger.write() as tx:
        deliveries.mark_collected(tx, [one.id for one in due], traces=dict.fromkeys(settings.repositories, "ab" * 16))
    return len(due)


def main() -> None:
    """Work until somebody ends this process."""
    settings = load_settings()
    ledger = Ledger(settings.resolved_ledger_url)
    watch = DeliveryWatch(lambda: settings)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        work_once(settings, ledger, watch)
        time.sleep(_PAUSE_S)  # who writes without one keeps all others from SQLite's lock


if __name__ == "__main__":
    main()
