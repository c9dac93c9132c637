"""Alerts in the ledger: recorded with their messages, claimed by one sender, in order, bounded, and silenced."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from squire_pipelines.domain.alert_rules import Severity
from squire_pipelines.domain.alert_steps import AlertState, AlertStep
from squire_pipelines.domain.alert_texts import AlertMessage
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger import alerts
from squire_pipelines.ledger.alerts import QueueBounds
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import audit
from tests.support.ledgers import START, TRACE, Clock, forget

BOUNDS = QueueBounds()
STATE = AlertState("al1", "engine_lost:e", "engine_lost", "e", Severity.CRITICAL, "gone", "start it", START, START)


def queue(ledger: Ledger, *titles: str, bounds: QueueBounds = BOUNDS, targets: tuple[str, ...] = ("ops",)) -> None:
    for title in titles:
        with ledger.write() as tx:
            alerts.record_step(tx, AlertStep(), AlertMessage(title, "body"), targets, bounds)


def send_next(ledger: Ledger, target: str = "ops", *, fails: bool = False) -> str | None:
    """Claim and settle the next message; return its title."""
    with ledger.write() as tx:
        claimed = alerts.claim(tx, target, 60)
    if claimed is None:
        return None
    with ledger.write() as tx:
        if fails:
            alerts.record_failure(tx, claimed.id, "no answer")
        else:
            alerts.record_sent(tx, claimed.id)
    return claimed.message.title


def test_an_alert_is_open_until_it_is_over_and_listed_after(ledger: Ledger, clock: Clock) -> None:
    with ledger.write() as tx:
        alerts.record_step(tx, AlertStep((STATE,)), None, (), BOUNDS)
    with ledger.read() as tx:
        assert alerts.open_alerts(tx) == (STATE,)
    clock.forward(60)
    over = AlertState(**{**{name: getattr(STATE, name) for name in STATE.__slots__}, "ended_at": clock.now})
    with ledger.write() as tx:
        alerts.record_step(tx, AlertStep((over,)), None, (), BOUNDS)
    with ledger.read() as tx:
        assert (alerts.open_alerts(tx), alerts.ended_alerts(tx, limit=5)) == ((), (over,))


def test_messages_go_to_each_target_in_their_order_and_once(ledger: Ledger) -> None:
    queue(ledger, "one", "two", targets=("ops", "mail"))
    assert [send_next(ledger, "mail") for _ in range(3)] == ["one", "two", None]
    assert [send_next(ledger) for _ in range(3)] == ["one", "two", None]


def test_a_message_that_is_being_sent_is_no_other_senders_until_its_claim_ends(ledger: Ledger, clock: Clock) -> None:
    queue(ledger, "one", "two")
    with ledger.write() as tx:
        first = alerts.claim(tx, "ops", 60)
    assert first is not None
    assert not first.is_repeated
    assert send_next(ledger) is None  # nor is a newer one
    clock.forward(61)
    with ledger.read() as tx:
        assert alerts.has_waiting(tx, "ops")
    with ledger.write() as tx:
        again = alerts.claim(tx, "ops", 60)
    assert again is not None
    assert (again.id, again.is_repeated) == (first.id, True)


def test_what_fails_is_tried_again_after_growing_waits_before_what_is_newer(ledger: Ledger, clock: Clock) -> None:
    queue(ledger, "one", "two")
    for wait_s in (5, 10, 20, 40, 80, 160, 300, 300):
        assert send_next(ledger, fails=True) == "one"
        clock.forward(wait_s - 1)
        assert send_next(ledger) is None
        clock.forward(1)
    with ledger.read() as tx:
        (ops,) = alerts.target_queues(tx)
    assert (ops.waiting, ops.sent, ops.error) == (2, 0, "no answer")
    assert [send_next(ledger) for _ in range(3)] == ["one", "two", None]


def test_what_waits_is_sent_after_the_clock_was_set_back(ledger: Ledger, clock: Clock) -> None:
    queue(ledger, "one")
    assert send_next(ledger, fails=True) == "one"
    clock.forward(-3600)
    for _ in range(2):  # a try that failed, and one that was cut off
        with ledger.read() as tx:
            assert alerts.has_waiting(tx, "ops")
        with ledger.write() as tx:
            assert alerts.claim(tx, "ops", 60) is not None
            assert alerts.claim(tx, "ops", 60) is None
        clock.forward(-3600)


def test_what_a_target_missed_while_it_was_away_is_said_once_when_it_is_back(ledger: Ledger, clock: Clock) -> None:
    queue(ledger, "old")
    clock.forward(86_401)
    queue(ledger, "new")
    with ledger.write() as tx:
        assert alerts.has_old(tx, BOUNDS.keep)
        assert alerts.drop_old(tx, BOUNDS.keep) == 1
        assert not alerts.has_old(tx, BOUNDS.keep)
    sent = [send_next(ledger) for _ in range(3)]
    assert sent == ["new", "Squire: 1 message was not delivered to you", None]
    with ledger.read() as tx:
        (ops,) = alerts.target_queues(tx)
    assert (ops.waiting, ops.sent, ops.dropped, ops.last_sent_at) == (0, 2, 1, clock.now)


def test_a_target_that_was_away_for_days_gets_to_know_what_was_dropped_though_nothing_new_is_wrong(
    ledger: Ledger, clock: Clock
) -> None:
    for title in ("one", "two"):
        queue(ledger, title)
        clock.forward(10)
    for _ in range(3):  # nobody has taken the message about the two either, and it is not dropped for that
        clock.forward(86_401)
        with ledger.write() as tx:
            alerts.drop_old(tx, BOUNDS.keep)
            assert not alerts.has_old(tx, BOUNDS.keep)
    assert [send_next(ledger) for _ in range(2)] == ["Squire: 2 messages were not delivered to you", None]


def test_what_says_what_was_dropped_is_deleted_when_its_target_is_gone(ledger: Ledger, clock: Clock) -> None:
    queue(ledger, "one")
    clock.forward(86_401)
    with ledger.write() as tx:
        alerts.drop_old(tx, BOUNDS.keep)
    clock.forward(86_401)
    assert forget(ledger, BOUNDS.keep.total_seconds())["alert_messages"] == 2
    with ledger.read() as tx:
        assert alerts.target_queues(tx) == ()


def test_of_more_messages_than_the_bound_the_oldest_are_dropped(ledger: Ledger, clock: Clock) -> None:
    for number in range(6):
        queue(ledger, str(number), bounds=QueueBounds(most=4))
        clock.forward(1)
    assert [send_next(ledger) for _ in range(3)] == ["2", "3", "4"]
    assert send_next(ledger) == "5"
    assert send_next(ledger) == "Squire: 2 messages were not delivered to you"


def test_a_message_that_is_being_sent_is_not_dropped(ledger: Ledger, clock: Clock) -> None:
    queue(ledger, "one")
    with ledger.write() as tx:
        claimed = alerts.claim(tx, "ops", 60)
    assert claimed is not None
    clock.forward(100_000)
    with ledger.write() as tx:
        assert alerts.drop_old(tx, BOUNDS.keep) == 0
        alerts.record_sent(tx, claimed.id)
    assert send_next(ledger) is None


def test_a_silence_ends_by_its_time_or_by_a_person_and_both_are_in_the_audit_trail(
    ledger: Ledger, clock: Clock
) -> None:
    with ledger.write() as tx:
        until = clock.now + timedelta(hours=1)
        first = alerts.add_silence(tx, "engine_lost", until=until, reason="move", actor="ann", trace_id=TRACE)
        alerts.add_silence(tx, "*", until=clock.now + timedelta(hours=2), reason="", actor="ann", trace_id=TRACE)
    with ledger.read() as tx:
        assert [silence.match for silence in alerts.silences(tx)] == ["engine_lost", "*"]
    with ledger.write() as tx:
        with pytest.raises(NotFoundError, match="nothing is silenced as disk_full"):
            alerts.end_silences(tx, ["disk_full"], actor="ann", trace_id=TRACE)
        assert [silence.id for silence in alerts.end_silences(tx, [first.id], actor="bob", trace_id=TRACE)] == [
            first.id
        ]
    clock.forward(7201)
    with ledger.read() as tx:
        assert alerts.silences(tx) == ()
        rows = tx.execute(select(audit.c.actor, audit.c.action, audit.c.subject).order_by(audit.c.id)).all()
    assert [tuple(row) for row in rows] == [
        ("ann", "alerts.silence", "engine_lost"),
        ("ann", "alerts.silence", "*"),
        ("bob", "alerts.unsilence", "engine_lost"),
    ]


def test_messages_and_silences_that_are_over_for_long_are_deleted(ledger: Ledger, clock: Clock) -> None:
    queue(ledger, "sent", "waiting")
    send_next(ledger)
    with ledger.write() as tx:
        alerts.add_silence(tx, "*", until=clock.now, reason="", actor="ann", trace_id=TRACE)
    clock.forward(100)
    for after_s, count in ((200, 0), (50, 1)):
        forgotten = forget(ledger, after_s)
        assert (forgotten["alert_messages"], forgotten["alert_silences"]) == (count, count)
    assert send_next(ledger) == "waiting"
