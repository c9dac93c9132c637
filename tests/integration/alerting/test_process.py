"""One process of a home evaluates and sends; another goes on when that one has ended."""

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from squire_pipelines.alerting.alert_lock import AlertLock
from squire_pipelines.alerting.process import alerting
from squire_pipelines.domain.conditions import Condition, HealthLevel
from squire_pipelines.ledger import alerts
from squire_pipelines.ledger.store import Ledger
from tests.integration.alerting.conftest import Configure


def test_of_two_processes_of_a_home_one_evaluates_until_it_has_ended(configure: Configure) -> None:
    settings = configure("")
    now = datetime.now(UTC)
    refused = Condition("settings", HealthLevel.DEGRADED, "a key is unknown", "correct it", now, now, 60)

    def count_alerts() -> int:
        ledger = Ledger(settings.resolved_ledger_url)
        try:
            with ledger.read() as tx:
                return len(alerts.open_alerts(tx))
        finally:
            ledger.close()

    with ExitStack() as first:
        first.enter_context(alerting(lambda: settings))([])
        with alerting(lambda: settings) as look:
            look([refused])
            assert count_alerts() == 0
            first.close()
            look([refused])
            assert count_alerts() == 1


def test_where_the_lock_cannot_be_made_each_process_sends(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert AlertLock(tmp_path / "file" / "alerts.lock").is_ours()
