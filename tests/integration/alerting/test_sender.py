"""From the outbox to a receiver: once, in order, again after a kill with the same id, and each target apart."""

import json
import sqlite3

import pytest

from squire_pipelines.alerting.sender import AlertSender
from squire_pipelines.alerting.target import AlertTarget, targets_of
from squire_pipelines.alerting.watch import AlertWatch, DirectMessage
from squire_pipelines.domain.alert_steps import AlertStep
from squire_pipelines.domain.alert_texts import AlertMessage
from squire_pipelines.errors import NotReachableError
from squire_pipelines.ledger import alerts
from squire_pipelines.ledger.alerts import QueueBounds
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.model import Settings
from tests.integration.alerting.conftest import Configure
from tests.support.children import wait_until
from tests.support.ledgers import Clock
from tests.support.provider import DirectedProvider, plain

PATIENCE_S = 60


def queue(ledger: Ledger, *names: str) -> None:
    for name in names:
        with ledger.write() as tx:
            alerts.record_step(tx, AlertStep(), AlertMessage(name, "body"), ("webhook",), QueueBounds())


def sender(settings: Settings, clock: Clock, **options: object) -> AlertSender:
    watch = AlertWatch(lambda: settings, machine="host", clock=clock)
    return AlertSender(lambda: settings, watch, clock=clock, **options)  # type: ignore[arg-type]


def send(one: AlertSender) -> None:
    one.send_due()
    one.wait(PATIENCE_S)


def hook(receiver: DirectedProvider) -> str:
    return f'[alerts]\nwebhook_url = "{receiver.url}/hook?token=abc123"\n'


def received(receiver: DirectedProvider) -> list[tuple[str, str]]:
    return [(one.headers["webhook-id"], json.loads(one.body)["title"]) for one in receiver.seen]


def test_what_is_in_the_outbox_is_posted_in_order_and_once(
    configure: Configure, home_ledger: Ledger, clock: Clock, receiver: DirectedProvider
) -> None:
    queue(home_ledger, "one", "two")
    process = sender(configure(hook(receiver)), clock)
    send(process)
    send(process)
    assert [title for _, title in received(receiver)] == ["one", "two"]


def test_a_message_whose_sender_was_killed_is_posted_again_with_its_id(
    configure: Configure, home_ledger: Ledger, clock: Clock, receiver: DirectedProvider
) -> None:
    queue(home_ledger, "one")
    with home_ledger.write() as tx:
        killed = alerts.claim(tx, "webhook", 60)
    assert killed is not None
    process = sender(configure(hook(receiver)), clock)
    send(process)
    assert receiver.seen == []
    clock.forward(61)
    send(process)
    assert received(receiver) == [(killed.id, "one")]


def test_a_ledger_that_cannot_be_written_any_more_keeps_no_message_back(
    configure: Configure, home_ledger: Ledger, clock: Clock, receiver: DirectedProvider
) -> None:
    queue(home_ledger, "the disk is full", "the daemon is gone")
    process = sender(configure(hook(receiver)), clock, busy_timeout_s=0.01)
    with sqlite3.connect(home_ledger.path) as other:  # what a full disk does: reads go on, no write begins
        other.execute("BEGIN IMMEDIATE")
        send(process)
        other.rollback()
    assert [title for _, title in received(receiver)] == ["the disk is full", "the daemon is gone"]
    send(process)
    assert len(received(receiver)) == 2
    with home_ledger.read() as tx:
        assert [(line.waiting, line.sent) for line in alerts.target_queues(tx)] == [(0, 2)]


def test_a_receiver_that_was_away_for_a_day_gets_to_know_what_it_missed(
    configure: Configure,
    home_ledger: Ledger,
    clock: Clock,
    receiver: DirectedProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver.answer = plain(500, {})
    queue(home_ledger, "old")
    process = sender(configure(hook(receiver)), clock, every_s=0.01)
    send(process)
    clock.forward(86_401)
    process.drop_old()
    receiver.answer = plain(200, {})
    queue(home_ledger, "new")
    send(process)
    assert [title for _, title in received(receiver)][1:] == [
        "Squire: 1 message was not delivered to you",
        "new",
    ]
    assert "abc123" not in caplog.text


def test_what_is_sent_without_the_ledger_is_tried_a_few_times(configure: Configure, clock: Clock) -> None:
    settings = configure('[alerts]\nwebhook_url = "http://127.0.0.1:9/"\n')
    tries: list[str] = []

    def fail(message_id: str, _message: AlertMessage, _is_repeated: bool) -> None:  # noqa: FBT001 - the type's signature
        tries.append(message_id)
        if len(tries) < 3:
            raise NotReachableError("away")

    watch = AlertWatch(lambda: settings, machine="host", clock=clock)
    watch.add_direct(DirectMessage("msg_1", AlertMessage("one", "body")))
    process = AlertSender(
        lambda: settings, watch, targets=lambda _: (AlertTarget("ops", "apprise", fail),), every_s=0.001, clock=clock
    )
    send(process)
    send(process)
    assert tries == ["msg_1"] * 3


def test_the_thread_sends_by_itself_when_it_is_woken(
    configure: Configure, home_ledger: Ledger, receiver: DirectedProvider, clock: Clock
) -> None:
    settings = configure(hook(receiver))
    assert [target.name for target in targets_of(settings)] == ["webhook"]
    with sender(settings, clock, every_s=PATIENCE_S) as process:
        queue(home_ledger, "one")
        process.wake()
        wait_until(lambda: bool(receiver.seen))
    assert received(receiver)[0][1] == "one"
