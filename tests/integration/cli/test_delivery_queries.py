"""What is asked of deliveries, on both databases: their states, their figures, and opening them again."""

from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from squire_pipelines.cli.delivery_queries import DeliveryFilter, delivery_page, find_rows, newer_deliveries, state_is
from squire_pipelines.cli.delivery_stats import read_stats
from squire_pipelines.cli.stored_deliveries import body_of, newest_deliveries
from squire_pipelines.domain.deliveries import REQUEST_SOURCES, DeliveryMarks, DeliveryState
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import deliveries, delivery_effects
from squire_pipelines.webhooks.replay import ReplayPlan, ReplayVerdict, replay
from tests.support.deliveries import push, record_delivery
from tests.support.ledgers import START, TRACE


def deliver(ledger: Ledger, name: str, **values: Any) -> int:
    fields = {"source": "github", "delivery_id": name, "event": "push", "action": None, "repository": "acme/shop"}
    number = record_delivery(ledger, **fields, body=push()).id
    if values:
        with ledger.write() as tx:
            tx.execute(update(deliveries).where(deliveries.c.id == number).values(**values))
    return number


def test_the_state_that_is_asked_for_is_the_one_that_the_marks_make(ledger: Ledger) -> None:
    names = DeliveryMarks.__slots__
    for place, values in enumerate(
        product(*((None, "x" if name in {"error", "filtered_by"} else START) for name in names))
    ):
        deliver(ledger, f"d{place}", **dict(zip(names, values, strict=True)))
    with ledger.read() as tx:
        rows = tx.execute(select(deliveries.c.id, *deliveries.c[names])).all()
        for state in DeliveryState:
            by_marks = {row[0] for row in rows if DeliveryMarks(*row[1:]).state is state}
            assert set(tx.execute(select(deliveries.c.id).where(state_is(state))).scalars()) == by_marks
            assert by_marks


def test_figures_are_of_the_time_that_is_asked_for(ledger: Ledger) -> None:
    for place, seconds in enumerate((2, 4, 8)):
        received = START - timedelta(hours=place)
        number = deliver(ledger, f"d{place}", received_at=received)
        effect = {"delivery": number, "effect": "outcome", "subject": "x", "trace_id": TRACE}
        with ledger.write() as tx:
            tx.execute(insert(delivery_effects).values(**effect, at=received + timedelta(seconds=seconds)))
    deliver(ledger, "old", received_at=START - timedelta(days=2))
    for source in REQUEST_SOURCES:  # nobody has delivered these
        deliver(ledger, source, source=source)
    with ledger.read() as tx:
        figures = read_stats(tx, since=START - timedelta(days=1))
    assert figures.hours == {f"2026-03-01T{hour}:00:00Z": 1 for hour in (10, 11, 12)}
    assert (figures.effects.deliveries, figures.effects.p50_s) == (3, 4.0)
    assert figures.effects.p95_s == pytest.approx(7.6)
    assert (figures.received, figures.events) == (3, {"push": 3})


def test_deliveries_are_read_newest_first_with_their_bodies_and_by_name(ledger: Ledger) -> None:
    numbers = [deliver(ledger, f"d{place}") for place in range(45)]
    rows = list(newest_deliveries(ledger, DeliveryFilter(), most=41))
    assert [row["id"] for row in rows] == numbers[:3:-1]
    assert body_of(rows[0]) == push()
    with ledger.read() as tx:
        assert [row["id"] for row in find_rows(tx, "d7")] == [numbers[7]]
        assert [row["id"] for row in find_rows(tx, str(numbers[3]))] == [numbers[3]]
        newer = newer_deliveries(tx, DeliveryFilter(), newer_than=numbers[-3], limit=10)
    assert [row["id"] for row in newer] == numbers[-2:]


def test_a_replay_selects_what_any_sender_sent_and_no_request_of_our_own(ledger: Ledger) -> None:
    numbers = [deliver(ledger, source, source=source) for source in ("github", "sentry", *REQUEST_SOURCES)]
    rows = newest_deliveries(ledger, DeliveryFilter(sent=True), most=10)
    assert [row["id"] for row in rows] == numbers[1::-1]


def test_what_somebody_changed_since_it_was_planned_is_not_opened_again(ledger: Ledger) -> None:
    done = {"collected_at": START, "applied_at": START, "error": "x", "filtered_by": "no-bots"}
    first, second = deliver(ledger, "first", **done), deliver(ledger, "second", **done)
    plans = [
        ReplayPlan(number, ReplayVerdict.REPLAY, "", "Acme/Shop", (), (), at, "Acme/Shop")
        for number, at in ((first, START), (second, START - timedelta(seconds=1)), (999, START))
    ]
    assert replay(ledger, plans, actor="cli:ann") == (second, 999)
    with ledger.read() as tx:
        (opened, left) = tx.execute(select(deliveries).order_by(deliveries.c.id)).all()
    assert (opened.collected_at, opened.applied_at, opened.error, opened.filtered_by) == (None, START, None, None)
    assert (opened.replays, opened.replayed_at, opened.repository) == (1, START, "Acme/Shop")
    assert (left.replays, left.error) == (0, "x")


def test_a_number_means_the_row_of_that_number_though_a_sender_has_a_delivery_of_that_name(ledger: Ledger) -> None:
    row = deliver(ledger, "abc")
    newer = deliver(ledger, str(row))
    named_only = deliver(ledger, name := "9" * 18)
    with ledger.read() as tx:
        with pytest.raises(NotFoundError):
            delivery_page(tx, DeliveryFilter(), limit=1, after=2**63 - 1)
        assert [delivery["id"] for delivery in find_rows(tx, str(row))] == [row, newer]
        assert [delivery["id"] for delivery in find_rows(tx, name)] == [named_only]
