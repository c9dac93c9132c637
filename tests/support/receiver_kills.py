"""A receiver that is killed while it works, and what it had acknowledged by then."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import httpx

from tests.support.deliveries import ReceiverProcess, headers, push

CALLERS = 8
_WAIT_S = 30.0
_MOST_OF_A_CALLER = 10_000


def deliver_and_kill(receiver: ReceiverProcess, *, name: str, after: int) -> set[str]:
    """Deliver from several callers, kill the receiver once so many were acknowledged, and return their ids.

    Each caller waits for an answer before it delivers the next one.
    """
    acknowledged: list[str] = []
    enough, dead = threading.Event(), threading.Event()

    def call(caller: int) -> None:
        with httpx.Client(base_url=receiver.url, timeout=10) as client:
            for number in range(_MOST_OF_A_CALLER):
                delivery, body = f"{name}-{caller}-{number}", push(number=number)
                try:
                    answer = client.post("/webhooks/github", content=body, headers=headers(body, delivery=delivery))
                except httpx.TransportError:
                    dead.set()
                    return
                if answer.is_success:
                    acknowledged.append(delivery)
                if len(acknowledged) >= after:
                    enough.set()

    callers = [threading.Thread(target=call, args=(caller,)) for caller in range(CALLERS)]
    for caller in callers:
        caller.start()
    assert enough.wait(_WAIT_S)
    receiver.process.kill()
    for caller in callers:
        caller.join(_WAIT_S)
    assert dead.is_set()
    receiver.end()
    return set(acknowledged)


def stored_once(ledger: Path) -> set[str]:
    """Return the ids of the deliveries in a ledger, each of which is there once and has one row of the audit trail."""
    with closing(sqlite3.connect(ledger)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = [row[0] for row in connection.execute("SELECT delivery_id FROM deliveries")]
        in_the_trail = connection.execute("SELECT count(*) FROM audit WHERE action = 'delivery.accepted'").fetchone()
    assert len(rows) == len(set(rows)) == in_the_trail[0]
    return set(rows)
