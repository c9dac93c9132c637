"""Acknowledged is durable: a receiver killed in the middle of its work has stored all that it answered for."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.support.deliveries import ReceiverProcess, headers, push
from tests.support.receiver_kills import CALLERS, deliver_and_kill, stored_once


@pytest.mark.slow
@pytest.mark.parametrize("acknowledged_before_the_kill", [1, 60])
def test_every_acknowledged_delivery_survives_sigkill(
    start: Callable[..., ReceiverProcess], tmp_path: Path, acknowledged_before_the_kill: int
) -> None:
    acknowledged = deliver_and_kill(start(), name="k", after=acknowledged_before_the_kill)
    stored = stored_once(tmp_path / "home" / "ledger.sqlite")
    assert acknowledged <= stored
    assert len(stored) <= len(acknowledged) + CALLERS  # at most one per caller was on its way

    again = start()
    first = min(acknowledged)
    body = push(number=int(first.rpartition("-")[2]))
    answer = httpx.post(f"{again.url}/webhooks/github", content=body, headers=headers(body, delivery=first))
    assert answer.status_code == 200
