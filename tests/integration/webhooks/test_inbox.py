"""One thread writes all that waits, and each is told what became of its own."""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select, text

from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger import inbox as ledger_inbox
from squire_pipelines.ledger.delivery_bodies import unpack
from squire_pipelines.ledger.inbox import CountedRefusal, IncomingDelivery, RecordedDelivery
from squire_pipelines.ledger.store import Ledger, Transaction, utc_now
from squire_pipelines.ledger.tables import deliveries, delivery_refusals
from squire_pipelines.webhooks.inbox import DeliveryInbox
from squire_pipelines.webhooks.ledger_writes import LedgerWrites
from squire_pipelines.webhooks.limits import Limits, RequestRefusedError
from tests.support.gated_ledger import GatedLedger
from tests.support.ledgers import PostgresServer


def incoming(delivery_id: str, **more: Any) -> IncomingDelivery:
    values: dict[str, Any] = {"source": "github", "event": "push", "action": None, "repository": "acme/shop"}
    return IncomingDelivery(delivery_id=delivery_id, body=b'{"a": 1}' * 40, **values | more)


def store_together(
    ledger: Ledger, *several: IncomingDelivery, most_bytes: int = 2**30, **limits: Any
) -> list[RecordedDelivery | BaseException]:
    """Store what waits at once: the thread is started by the first, and the others are there before it looks."""

    async def store() -> list[RecordedDelivery | BaseException]:
        inbox = DeliveryInbox(ledger, Limits(**limits), lambda: most_bytes, LedgerWrites(ledger))
        try:
            return await asyncio.gather(*(inbox.store(one) for one in several), return_exceptions=True)
        finally:
            inbox.close()

    return asyncio.run(store())


def test_all_that_wait_are_stored_and_a_delivery_twice_among_them_once(ledger: Ledger) -> None:
    names = ("a", "b", "a", "c", "a")
    outcomes = store_together(ledger, *map(incoming, names))
    rows = [outcome for outcome in outcomes if isinstance(outcome, RecordedDelivery)]
    assert [row.is_new for row in rows] == [True, True, False, True, False]
    assert rows[0].id == rows[2].id == rows[4].id
    with ledger.read() as tx:
        stored = {row.trace_id: row.delivery_id for row in tx.execute(select(deliveries))}
    assert {row.trace_id: name for row, name in zip(rows, names, strict=True)} == stored


def test_a_large_one_is_packed_by_the_thread_and_stored_the_same(ledger: Ledger) -> None:
    (recorded,) = store_together(ledger, incoming("a"), inline_body=0)
    assert isinstance(recorded, RecordedDelivery)
    with ledger.read() as tx:
        row = tx.execute(select(deliveries).where(deliveries.c.id == recorded.id)).one()
    assert unpack(row.body, row.body_encoding) == incoming("a").body
    assert row.body_sha256 == hashlib.sha256(incoming("a").body).hexdigest()


def test_one_that_the_ledger_refuses_takes_no_others_with_it(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.execute(
            text(
                "CREATE TRIGGER no BEFORE INSERT ON deliveries WHEN NEW.delivery_id = 'poison' "
                "BEGIN SELECT RAISE(ABORT, 'no such thing'); END"
            )
        )
    outcomes = store_together(ledger, incoming("a"), incoming("poison"), incoming("b"))
    assert [isinstance(outcome, RecordedDelivery) for outcome in outcomes] == [True, False, True]
    refused = outcomes[1]
    assert isinstance(refused, RequestRefusedError)
    assert (refused.status, refused.retry_after_s) == (503, 5)


def test_a_locked_ledger_stores_none_and_each_is_told_to_come_again(
    ledger: Ledger, open_at: Callable[..., Ledger]
) -> None:
    impatient = open_at(str(ledger.url), busy_timeout_s=0.1)
    with ledger.write():
        outcomes = store_together(impatient, incoming("a"), incoming("b"), ledger_timeout_s=0.2)
    assert {getattr(outcome, "status", None) for outcome in outcomes} == {503}
    assert [isinstance(outcome, RecordedDelivery) for outcome in store_together(ledger, incoming("a"))] == [True]


def test_a_fault_of_ours_ends_neither_the_thread_nor_the_others_that_come(ledger: Ledger) -> None:
    odd = incoming("odd", event=object())  # no statement takes it
    outcomes = store_together(ledger, odd, incoming("a"), batch=1)
    assert [isinstance(outcome, RecordedDelivery) for outcome in outcomes] == [False, True]


def test_no_more_wait_than_may(ledger: Ledger) -> None:
    several = [incoming(f"{number}") for number in range(9)]
    with ledger.write():
        outcomes = store_together(ledger, *several, waiting=2, ledger_timeout_s=0.1)
    assert all(isinstance(outcome, RequestRefusedError) and outcome.retry_after_s for outcome in outcomes)


def test_of_those_who_gave_up_what_is_being_written_is_stored_and_what_waits_is_not(ledger: Ledger) -> None:
    gated = GatedLedger(str(ledger.url))

    async def store() -> RecordedDelivery:
        inbox = DeliveryInbox(gated, Limits(batch=1), lambda: 2**30, LedgerWrites(gated))
        try:
            several = [asyncio.create_task(inbox.store(incoming(name))) for name in ("written", "waits")]
            assert await asyncio.to_thread(gated.arrived.wait, 60)
            for one in several:
                one.cancel()
            await asyncio.gather(*several, return_exceptions=True)
            gated.gate.set()
            return await inbox.store(incoming("next"))
        finally:
            inbox.close()

    assert asyncio.run(store()).is_new
    gated.close()
    with ledger.read() as tx:
        stored = tx.execute(select(deliveries.c.delivery_id).order_by(deliveries.c.id)).scalars().all()
    assert stored == ["written", "next"]


class _FailingLedger(Ledger):
    """A ledger that takes no writes, and some seconds to say so, once the gate is open."""

    def __init__(self, url: str, *, takes_s: float) -> None:
        super().__init__(url)
        self.takes_s, self.now, self.writes = takes_s, 0.0, 0
        self.arrived, self.gate = threading.Event(), threading.Event()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Fail, after a while."""
        self.arrived.set()
        self.gate.wait(60)
        self.writes += 1
        self.now += self.takes_s
        raise LedgerError("it does not answer")
        yield


@pytest.mark.parametrize(("takes_s", "writes"), [(0.1, 4), (3.0, 1)])
def test_what_could_not_be_stored_together_is_tried_alone_only_while_its_callers_wait(
    ledger: Ledger, takes_s: float, writes: int
) -> None:
    failing = _FailingLedger(str(ledger.url), takes_s=takes_s)

    async def store() -> list[RecordedDelivery | BaseException]:
        inbox = DeliveryInbox(failing, Limits(), lambda: 2**30, LedgerWrites(failing), clock=lambda: failing.now)
        try:
            first = asyncio.create_task(inbox.store(incoming("first")))
            assert await asyncio.to_thread(failing.arrived.wait, 60)
            together = [asyncio.create_task(inbox.store(incoming(name))) for name in "abc"]
            await asyncio.sleep(0)  # all three wait, while the first is being written
            failing.gate.set()
            return await asyncio.gather(first, *together, return_exceptions=True)
        finally:
            inbox.close()

    assert [getattr(outcome, "status", None) for outcome in asyncio.run(store())] == [503] * 4
    assert failing.writes == 1 + writes
    failing.close()


def test_postgres_stores_and_counts_the_same(postgres: PostgresServer, open_at: Callable[..., Ledger]) -> None:
    postgres_ledger = open_at(postgres.empty_ledger())
    outcomes = store_together(postgres_ledger, incoming("a"), incoming("b"), incoming("a"))
    assert [outcome.is_new for outcome in outcomes if isinstance(outcome, RecordedDelivery)] == [True, True, False]
    refusal = CountedRefusal(utc_now().replace(second=0, microsecond=0), "github", 401, "signature")
    for count in (2, 3):
        ledger_inbox.record_refusals(postgres_ledger, {refusal: count})
    assert LedgerWrites(postgres_ledger).can_write()
    with postgres_ledger.read() as tx:
        assert tx.execute(select(delivery_refusals.c.count)).scalars().all() == [5]
