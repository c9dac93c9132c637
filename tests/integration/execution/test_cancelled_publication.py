"""A task that somebody cancels while nothing of its work has been pushed yet."""

from pathlib import Path

import pytest

from squire_pipelines.domain.endings import Cause
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.publication import end_if_cancelled
from squire_pipelines.file_store.layout import PUSHING
from squire_pipelines.ledger import attempts, tasks
from squire_pipelines.ledger.heartbeat import Heartbeat
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.model import Settings
from tests.support.ledgers import start_attempt, token_of


def leased_attempt(ledger: Ledger) -> LeasedAttempt:
    attempt = start_attempt(ledger)
    token = token_of(attempt)
    with ledger.write() as tx:
        attempts.start_publishing(tx, attempt.id, token, head_sha="a" * 40)
        attempt, task = attempts.get(tx, attempt.id), tasks.get(tx, attempt.task_id)
    return LeasedAttempt(attempt, task, token, ledger, Settings(), Heartbeat(ledger, attempt.id, token, lease_s=60))


@pytest.mark.parametrize(
    ("pushed", "cancelled", "ends"), [(False, True, True), (False, False, False), (True, True, False)]
)
def test_it_ends_cancelled_with_its_work_kept_unless_that_was_pushed(
    ledger: Ledger, *, pushed: bool, cancelled: bool, ends: bool
) -> None:
    leased = leased_attempt(ledger)
    kept = leased.settings.home.attempts / leased.attempt.id / "keep" / "result.bundle"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"work")
    if pushed:
        (kept.parent.parent / PUSHING).touch()
    if cancelled:
        with ledger.write() as tx:
            tasks.cancel(tx, leased.task.id, actor="ann", reason="not this")
    assert end_if_cancelled(leased) is ends
    with ledger.read() as tx:
        staged = attempts.get(tx, leased.attempt.id).staged_ending
    assert (staged is not None) is ends
    if staged is not None:
        assert staged.cause is Cause.CANCELLED
        assert Path(staged.message.rpartition(" ")[2]) == kept
