"""Requests that are wrong in every way, of which `make bench-webhooks` makes 100,000, break nothing."""

from collections.abc import Callable
from pathlib import Path

from tests.support.deliveries import ReceiverProcess
from tests.support.mutated_requests import send_mutated, settings_variables

COUNT = 600


def test_mutated_requests_break_nothing_and_each_signed_event_is_stored_once(
    start: Callable[..., ReceiverProcess], tmp_path: Path
) -> None:
    receiver = start(**settings_variables())
    run = send_mutated(receiver.url, COUNT)
    assert run.problems == []
    assert run.check_ledger(tmp_path / "home" / "ledger.sqlite") == []
    assert sum(run.statuses.values()) == COUNT
    assert {kind for kind, status in run.statuses if status == 202} >= {"right", "form", "chunked", "duplicate keys"}
    assert {status for _, status in run.statuses} >= {200, 202, 400, 401, 404, 405, 413, 415}
