"""Acknowledged is durable: a receiver killed in the middle of its work has stored all that it answered for."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.support.deliveries import ReceiverProcess, headers, push

CALLERS = 8


@pytest.mark.slow
@pytest.mark.parametrize("acknowledged_before_the_kill", [1, 60])
def test_every_acknowledged_delivery_survives_sigkill(
    start: Callable[..., ReceiverProcess], tmp_path: Path, acknowledged_before_the_kill: int
) -> None:
    receiver = start()
    acknowledged: list[str] = []
    enough, dead = threading.Event(), threading.Event()

    def call(caller: int) -> None:
        with httpx.Client(base_url=receiver.url, timeout=10) as client:
            for number in range(10_000):
                delivery = f"{caller}-{number}"
                body = push(number=number)
                try:
                    answer = client.post("/webhooks/github", content=body, headers=headers(body, delivery=delivery))
                except httpx.TransportError:
                    dead.set()
                    return
                if answer.is_success:
                    acknowledged.append(delivery)
                if len(acknowledged) >= acknowledged_before_the_kill:
                    enough.set()

    callers = [threading.Thread(target=call, args=(caller,)) for caller in range(CALLERS)]
    for caller in callers:
        caller.start()
    assert enough.wait(30)
    receiver.process.kill()
    for caller in callers:
        caller.join(30)
    assert dead.is_set()

    with closing(sqlite3.connect(tmp_path / "home" / "ledger.sqlite")) as ledger:
        stored = {row[0] for row in ledger.execute("SELECT delivery_id FROM deliveries")}
        assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert set(acknowledged) <= stored
    assert len(stored) <= len(acknowledged) + CALLERS  # at most one per caller was on its way

    again = start()
    body = push()
    answer = httpx.post(f"{again.url}/webhooks/github", content=body, headers=headers(body, delivery=acknowledged[0]))
    assert answer.status_code == 200
