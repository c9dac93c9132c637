"""The inbox of deliveries and its two readers."""

import threading

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.errors import DeliveryError
from squire_pipelines.ledger import deliveries, delivery_body_bound
from squire_pipelines.ledger.deliveries import DueDelivery, RequestRule
from squire_pipelines.ledger.delivery_effects import effects_of
from squire_pipelines.ledger.delivery_failures import mark_failed, set_aside
from squire_pipelines.ledger.inbox import RecordedDelivery
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import deliveries as table
from tests.support.deliveries import record_delivery
from tests.support.ledgers import REPOSITORY, TRACE, Clock


def store(
    ledger: Ledger,
    delivery_id: str = "d-1",
    *,
    body: bytes = b"{}",
    repository: str | None = REPOSITORY,
    relevant: bool = True,
    source: str = "github",
) -> RecordedDelivery:
    return record_delivery(
        ledger,
        source=source,
        delivery_id=delivery_id,
        event="issues",
        action="opened",
        repository=repository,
        body=body,
        relevant=relevant,
    )


def take(ledger: Ledger, *, retry_after_s: float = 60, limit: int = 1000) -> tuple[DueDelivery, ...]:
    with ledger.write() as tx:
        return deliveries.take_for_collection(tx, RequestRule(retry_after_s, 5), limit=limit)


def error_of(ledger: Ledger, row: int) -> str | None:
    with ledger.read() as tx:
        error: str | None = tx.execute(select(table.c.error).where(table.c.id == row)).scalar_one()
    return error


def test_a_redelivery_with_the_same_body_is_one_row_and_keeps_its_trace(ledger: Ledger) -> None:
    first = store(ledger)
    again = store(ledger)
    assert (first.is_new, again.is_new) == (True, False)
    assert (first.id, first.trace_id) == (again.id, again.trace_id)


@pytest.mark.parametrize(
    "other", [{"body": b"[]"}, {"delivery_id": "d-2"}, {"source": "gitlab"}], ids=["body", "id", "source"]
)
def test_another_body_id_or_source_is_another_delivery(ledger: Ledger, other: dict[str, str]) -> None:
    first = store(ledger)
    second = store(ledger, **other)  # type: ignore[arg-type] # a table of arguments
    assert second.is_new
    assert second.id != first.id


def test_receivers_that_store_the_same_delivery_at_once_store_it_once(ledger: Ledger) -> None:
    recorded: list[RecordedDelivery] = []
    gate = threading.Barrier(6)

    def receive() -> None:
        gate.wait(10)
        recorded.append(store(ledger))

    threads = [threading.Thread(target=receive) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(delivery.is_new for delivery in recorded) == [False] * 5 + [True]
    assert len({delivery.id for delivery in recorded}) == 1
    with ledger.read() as tx:
        assert tx.execute(select(func.count()).select_from(table)).scalar_one() == 1


def test_a_row_that_breaks_another_rule_is_no_redelivery(ledger: Ledger) -> None:
    with pytest.raises(IntegrityError):
        store(ledger, source=None)  # type: ignore[arg-type] # what must not be


def test_long_names_from_outside_are_kept_whole(ledger: Ledger) -> None:
    stored = store(ledger, "d" * 300, source="an-endpoint-with-a-rather-long-name")
    assert store(ledger, "d" * 300, source="an-endpoint-with-a-rather-long-name").id == stored.id


def test_a_delivery_is_taken_once_and_comes_again_when_its_collection_did_not_happen(
    ledger: Ledger, clock: Clock
) -> None:
    row = store(ledger).id
    (taken,) = take(ledger)
    assert (taken.id, taken.repository, taken.tries, taken.replays) == (row, REPOSITORY, 0, 0)
    assert take(ledger) == ()
    clock.forward(59)
    assert take(ledger) == ()
    clock.forward(2)
    assert [(delivery.id, delivery.tries) for delivery in take(ledger)] == [(row, 1)]


def test_a_collected_delivery_is_not_taken_again(ledger: Ledger, clock: Clock) -> None:
    rows = [store(ledger, f"d-{number}").id for number in range(3)]
    take(ledger)
    with ledger.write() as tx:
        deliveries.mark_collected(tx, rows[:2])
    clock.forward(100)
    assert [delivery.id for delivery in take(ledger)] == rows[2:]
    with ledger.read() as tx:
        assert deliveries.still_open(tx, rows) == tuple(rows[2:])
        assert deliveries.still_open(tx, []) == ()


def test_a_webhook_about_a_repository_that_could_not_be_read_stays_open_and_a_command_hears_of_it(
    ledger: Ledger, clock: Clock
) -> None:
    unread, read = store(ledger, "d-1").id, store(ledger, "d-2", repository="acme/web").id
    with ledger.write() as tx:
        (asked,) = deliveries.request_collection(tx, [REPOSITORY], source=DeliverySource.COMMAND, trace_id=TRACE)
    assert [delivery.id for delivery in take(ledger)] == [unread, read, asked]
    with ledger.write() as tx:
        deliveries.mark_collected(tx, [unread, read, asked], unread={REPOSITORY})
        assert deliveries.still_open(tx, [unread, read, asked]) == (unread,)
    assert (error_of(ledger, asked), error_of(ledger, read)) == ("no source of the repository could be read", None)
    clock.forward(61)
    assert [(delivery.id, delivery.tries) for delivery in take(ledger)] == [(unread, 1)]


def test_a_collection_is_an_effect_of_each_webhook_that_asked_for_it_and_of_no_command(ledger: Ledger) -> None:
    first, second = store(ledger, "d-1"), store(ledger, "d-2")
    unread, unheard = store(ledger, "d-3", repository="acme/web").id, store(ledger, "d-4").id
    rows = [first.id, second.id, unread, unheard]
    with ledger.write() as tx:
        rows += deliveries.request_collection(tx, [REPOSITORY], source=DeliverySource.COMMAND, trace_id=TRACE)
        for _ in range(2):  # a replay has nothing recorded twice
            traces = deliveries.traces(tx, rows)
            deliveries.mark_collected(tx, rows, unread={"acme/web"}, unheard={unheard}, traces=traces)
            effects = effects_of(tx, rows)
            assert deliveries.still_open(tx, rows) == (unread, unheard)
            deliveries.reopen(tx, [first.id, second.id], collects=True, applies=False)
    assert [(one.delivery, one.effect, one.subject, one.trace_id) for one in effects] == [
        (first.id, "collected", REPOSITORY, first.trace_id),
        (second.id, "collected", REPOSITORY, first.trace_id),
    ]


def test_what_cannot_be_used_is_tried_again_and_set_aside_after_the_last_try(ledger: Ledger) -> None:
    row = store(ledger).id
    with ledger.write() as tx:
        assert [mark_failed(tx, row, "too large", max_tries=3) for _ in range(2)] == [False, False]
        deliveries.mark_applied(tx, [row])
        assert tx.execute(select(table.c.error, table.c.set_aside_at)).one() == (None, None)
        deliveries.reopen(tx, [row], collects=True, applies=True)
        assert [mark_failed(tx, row, "too large", max_tries=3) for _ in range(3)] == [False, False, True]
        stored = tx.execute(select(table)).one()
        assert deliveries.unapplied(tx) == ()
    assert (stored.error, stored.apply_tries, stored.set_aside_at) == ("too large", 3, stored.applied_at)


def test_a_stored_body_that_is_damaged_hides_no_other_delivery(ledger: Ledger) -> None:
    rows = [store(ledger, f"d-{number}", body=b'{"a": 1}' * 100).id for number in range(2)]
    with ledger.write() as tx:
        tx.execute(table.update().where(table.c.id == rows[0]).values(body=b"damaged"))
        damaged, whole = deliveries.unapplied(tx)
    assert whole.body == b'{"a": 1}' * 100
    with pytest.raises(DeliveryError, match="cannot be unpacked"):
        _ = damaged.body


def test_a_delivery_whose_requests_are_spent_is_closed_with_an_error(ledger: Ledger, clock: Clock) -> None:
    row = store(ledger).id
    for wait_s in (60, 120, 240, 480, 960):
        assert len(take(ledger)) == 1
        clock.forward(wait_s - 1)
        assert take(ledger) == ()
        clock.forward(2)
    assert take(ledger) == ()
    assert error_of(ledger, row) == "not collected after 5 requests"
    with ledger.read() as tx:
        # So that it is failed, whether or not what it says was applied.
        assert tx.execute(select(table.c.set_aside_at)).scalar_one() == clock.now
        assert deliveries.still_open(tx, [row]) == ()


def test_deliveries_are_taken_in_the_order_of_arrival_and_not_all_at_once(ledger: Ledger) -> None:
    rows = [store(ledger, f"d-{number}").id for number in range(5)]
    assert [delivery.id for delivery in take(ledger, limit=3)] == rows[:3]
    assert [delivery.id for delivery in take(ledger, limit=3)] == rows[3:]


def test_bodies_are_read_a_portion_at_a_time_and_a_larger_one_alone(ledger: Ledger) -> None:
    bodies = [b"1" * 60, b"2" * 60, b"3" * 190, b"4" * 10]
    rows = [store(ledger, f"d-{number}", body=body).id for number, body in enumerate(bodies)]
    with ledger.read() as tx:
        after, portions = 0, []
        while portion := deliveries.unapplied(tx, after=after, most_bytes=150):
            portions.append([one.body for one in portion])
            after = portion[-1].id
    assert portions == [bodies[:2], [bodies[2]], [bodies[3]]]
    read = deliveries.among(ledger, rows[1:], event="issues", action="opened", most_bytes=150)
    assert [one.body for one in read] == bodies[1:]


def test_bodies_beyond_their_bound_are_removed_the_oldest_first_of_what_is_done_with(ledger: Ledger) -> None:
    rows = [store(ledger, f"d-{number}", body=b"%d" % number * 100).id for number in range(5)]
    with ledger.write() as tx:
        for done in rows[:4]:
            set_aside(tx, done, "it cannot be used")
            deliveries.mark_collected(tx, [done])
        assert delivery_body_bound.kept_bytes(tx) == 400
        assert [delivery_body_bound.count_excess(tx, most) for most in (400, 250, 0)] == [0, 2, 4]
    assert delivery_body_bound.remove_oldest(ledger, 400) == 0
    assert delivery_body_bound.remove_oldest(ledger, 250) == 2
    with ledger.read() as tx:
        lengths = {
            row.id: row.length for row in tx.execute(select(table.c.id, func.length(table.c.body).label("length")))
        }
        assert delivery_body_bound.kept_bytes(tx) == 200
    assert [lengths[row] for row in rows] == [0, 0, 100, 100, 100]
    # It is known still, and is tried again with the body that comes.
    again = store(ledger, "d-0", body=b"0" * 100)
    assert (again.id, again.is_new, again.again) == (rows[0], False, True)
    with ledger.write() as tx:
        assert deliveries.unapplied(tx)[0].body == b"0" * 100
        deliveries.reopen(tx, [rows[1]], collects=False, applies=True)
        with pytest.raises(DeliveryError, match=r"removed, since .* retention\.max_delivery_bodies"):
            _ = deliveries.unapplied(tx)[1].body


def test_what_names_no_repository_waits_and_spends_no_request_while_none_is_known(ledger: Ledger) -> None:
    with ledger.write() as tx:
        (named,) = deliveries.request_collection(tx, [REPOSITORY], source="cli", trace_id=TRACE)
    hook = record_delivery(
        ledger, source="x", delivery_id="x-1", event="up", action=None, repository=None, body=b"{}", reads_body=True
    ).id
    rule = RequestRule(60, 5, names_unknown=True)
    with ledger.write() as tx:
        assert [one.id for one in deliveries.take_for_collection(tx, rule)] == [named]
        assert not deliveries.has_due(tx, rule)
    assert [(one.id, one.tries) for one in take(ledger)] == [(hook, 0)]


def test_an_irrelevant_delivery_asks_for_nothing(ledger: Ledger) -> None:
    store(ledger, relevant=False)
    assert take(ledger) == ()
    with ledger.read() as tx:
        assert deliveries.unapplied(tx) == ()


def test_a_delivery_of_no_repository_is_only_looked_at_for_an_outcome(ledger: Ledger) -> None:
    row = store(ledger, repository=None).id
    assert take(ledger) == ()
    with ledger.read() as tx:
        assert [delivery.id for delivery in deliveries.unapplied(tx)] == [row]


def test_the_two_readers_have_marks_of_their_own(ledger: Ledger) -> None:
    rows = [store(ledger, f"d-{number}").id for number in range(3)]
    with ledger.write() as tx:
        deliveries.mark_applied(tx, rows[:1])
        set_aside(tx, rows[1], "the body cannot be read")
        assert [delivery.id for delivery in deliveries.unapplied(tx)] == rows[2:]
        assert deliveries.unapplied(tx, limit=0) == ()
    assert [delivery.id for delivery in take(ledger)] == rows
    assert [error_of(ledger, row) for row in rows] == [None, "the body cannot be read", None]


def test_a_requested_collection_is_taken_like_a_delivery_but_reports_no_outcome(ledger: Ledger) -> None:
    names = [f"acme/r{number}" for number in range(500)]
    with ledger.write() as tx:
        rows = deliveries.request_collection(tx, names, source="cli", trace_id=TRACE)
        assert deliveries.unapplied(tx) == ()
    taken = take(ledger)
    assert [delivery.repository for delivery in taken] == names
    assert tuple(delivery.id for delivery in taken) == rows
    assert {(delivery.source, delivery.event, delivery.trace_id) for delivery in taken} == {("cli", "collect", TRACE)}
