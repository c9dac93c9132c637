"""Two receivers of one ledger behind a balancer, each a process with a home of its own."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import select

from squire_pipelines.ledger import server_processes
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import audit, deliveries
from squire_pipelines.runtime.machine_facts import read_machines
from tests.support.children import wait_until
from tests.support.deliveries import ReceiverProcess, headers, push
from tests.support.ledgers import PostgresServer

CALLERS = 4
OF_A_CALLER = 30
KILL_AFTER = 20


class Balancer:
    """Hands each connection to the next server that takes it, as a balancer of TCP does."""

    def __init__(self, addresses: list[tuple[str, int]]) -> None:
        self._next = cycle(addresses)
        self._count = len(addresses)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for connection in self._connections:
            connection.join()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                caller, _ = self._listener.accept()
                connection = threading.Thread(target=self._serve, args=(caller,))
                self._connections.append(connection)
                connection.start()

    def _serve(self, caller: socket.socket) -> None:
        with caller:
            for _ in range(self._count):
                with suppress(OSError), socket.create_connection(next(self._next), timeout=30) as server:
                    back = threading.Thread(target=_copy, args=(server, caller))
                    back.start()
                    _copy(caller, server)
                    back.join()
                    return


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(65_536):
            target.sendall(block)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def ledger(postgres: PostgresServer) -> Iterator[Ledger]:
    opened = Ledger(postgres.empty_ledger())
    yield opened
    opened.close()


@pytest.fixture
def receivers(tmp_path: Path, ledger: Ledger) -> Iterator[tuple[ReceiverProcess, ReceiverProcess]]:
    url = ledger.url.render_as_string(hide_password=False)
    with ExitStack() as stack:
        started = []
        for name, more in (("one", {}), ("two", {"SQUIRE_WEBHOOK_SECRET_OLD": "the-one-before-it"})):
            receiver = ReceiverProcess.start(tmp_path / name, SQUIRE_LEDGER_URL=url, SQUIRE_MACHINE=name, **more)
            stack.callback(receiver.end)
            started.append(receiver)
        yield started[0], started[1]


@pytest.fixture
def balancer(receivers: tuple[ReceiverProcess, ReceiverProcess]) -> Iterator[Balancer]:
    parts = [urlsplit(receiver.url) for receiver in receivers]
    made = Balancer([(str(part.hostname), int(part.port or 0)) for part in parts])
    yield made
    made.close()


def deliver(url: str, name: str, number: int) -> int:
    """Deliver on a connection of its own, as GitHub does through a balancer."""
    body = push(number=number)
    answer = httpx.post(f"{url}/webhooks/github", content=body, headers=headers(body, delivery=name), timeout=30)
    return answer.status_code


@pytest.mark.slow
def test_nothing_is_lost_or_counted_twice_when_one_of_two_is_killed(
    receivers: tuple[ReceiverProcess, ReceiverProcess], balancer: Balancer, ledger: Ledger
) -> None:
    with ThreadPoolExecutor(2) as both:  # the same delivery to both at once
        answers = list(both.map(lambda receiver: deliver(receiver.url, "same", 1), receivers))
    assert sorted(answers) == [200, 202]

    acknowledged: set[str] = {"same"}
    refused = threading.Event()

    def call(caller: int) -> None:
        for number in range(OF_A_CALLER):
            name = f"c{caller}-{number}"
            for _ in range(3):  # GitHub's own redelivery, or the balancer's caller again
                with suppress(httpx.TransportError):
                    if deliver(balancer.url, name, number) in {200, 202}:
                        acknowledged.add(name)
                        break
                refused.set()
            if len(acknowledged) == KILL_AFTER:
                receivers[0].process.kill()

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(call, range(CALLERS)))
    if receivers[0].process.poll() is None:
        receivers[0].process.kill()
    assert len(acknowledged) == CALLERS * OF_A_CALLER + 1  # the other one has taken all that was left
    with ledger.read() as tx:
        stored = list(tx.execute(select(deliveries.c.delivery_id)).scalars())
        accepted = list(tx.execute(select(audit.c.subject).where(audit.c.action == "delivery.accepted")).scalars())
    assert sorted(stored) == sorted(acknowledged)
    assert len(accepted) == len(set(accepted)) == len(stored)


@pytest.mark.slow
def test_a_receiver_with_the_old_secret_alone_is_named(
    receivers: tuple[ReceiverProcess, ReceiverProcess], ledger: Ledger, tmp_path: Path
) -> None:
    def living() -> int:
        with ledger.read() as tx:
            return len([one for one in server_processes.read_all(tx) if one.secret_marks])

    wait_until(lambda: living() == len(receivers))
    with ledger.read() as tx:
        assert [one.about for one in read_machines(tx, lost_after_s=30)] == ["", ""]
    stale = ReceiverProcess.start(
        tmp_path / "three",
        SQUIRE_LEDGER_URL=ledger.url.render_as_string(hide_password=False),
        SQUIRE_MACHINE="three",
        SQUIRE_WEBHOOK_SECRET="the-one-before-it",
    )
    try:
        wait_until(lambda: living() == len(receivers) + 1)
        with ledger.read() as tx:
            named = {one.name: one.about for one in read_machines(tx, lost_after_s=30) if one.is_wrong}
    finally:
        stale.end()
    assert len(named) == 1
    assert f"three:{tmp_path / 'three'}" in named
    assert "still has the old webhook-secret alone" in str(named)
