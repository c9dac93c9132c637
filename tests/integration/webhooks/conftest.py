"""A ledger, and the receiver's application on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from squire_pipelines.ledger.delivery_bodies import unpack
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import deliveries
from squire_pipelines.webhooks.filtering import NO_RULES, DeliveryJudge
from squire_pipelines.webhooks.limits import Limits
from squire_pipelines.webhooks.receiver import create_app
from squire_pipelines.webhooks.signing_secrets import SigningSecrets
from tests.support.deliveries import SECRET, ReceiverProcess
from tests.support.ledgers import sqlite_ledger_file
from tests.support.logs import stream

__all__ = ["stream"]


SECRETS = SigningSecrets((SECRET,))


@pytest.fixture
def ledger_path(tmp_path: Path) -> Path:
    return sqlite_ledger_file(tmp_path / "ledger.sqlite")


@pytest.fixture
def ledger(ledger_path: Path, open_at: Callable[..., Ledger]) -> Ledger:
    return open_at(f"sqlite:///{ledger_path}", busy_timeout_s=5)


@pytest.fixture
def make_client(ledger: Ledger) -> Iterator[Callable[..., TestClient]]:
    opened: list[TestClient] = []

    def make(
        *,
        repositories: tuple[str, ...] = ("acme/shop",),
        secrets: SigningSecrets = SECRETS,
        judge: DeliveryJudge = NO_RULES,
        most_waiting_bytes: int = 2**30,
        refusals_per_minute: int = 1000,
        **limits: float,
    ) -> TestClient:
        app = create_app(
            ledger=ledger,
            secrets=lambda: secrets,
            repositories=lambda: repositories,
            judge=lambda: judge,
            most_waiting_bytes=lambda: most_waiting_bytes,
            refusals_per_minute=lambda: refusals_per_minute,
            limits=Limits(**limits),  # type: ignore[arg-type]  # sizes are whole numbers in the tests
        )
        client = TestClient(app)
        client.__enter__()
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.__exit__()


@pytest.fixture
def client(make_client: Callable[..., TestClient]) -> TestClient:
    return make_client()


@pytest.fixture
def stored(ledger: Ledger) -> Callable[[], list[tuple[str, str, str | None, bytes, bool]]]:
    """What is in the inbox: id, event, repository, body, and whether it still asks for something."""

    def read() -> list[tuple[str, str, str | None, bytes, bool]]:
        with ledger.read() as tx:
            rows = tx.execute(select(deliveries).order_by(deliveries.c.id)).all()
        return [
            (
                row.delivery_id,
                row.event,
                row.repository,
                unpack(row.body, row.body_encoding),
                row.collected_at is None or row.applied_at is None,
            )
            for row in rows
        ]

    return read


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., ReceiverProcess]]:
    """Starts receivers in processes of their own, on one ledger, with their files in one folder."""
    started: list[ReceiverProcess] = []
    home = tmp_path / "home"
    home.mkdir()
    sqlite_ledger_file(home / "ledger.sqlite")

    def begin(**more: str) -> ReceiverProcess:
        started.append(ReceiverProcess.start(home, **more))
        return started[-1]

    yield begin
    for receiver in started:
        receiver.end()
