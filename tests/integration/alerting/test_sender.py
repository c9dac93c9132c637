"""From the outbox to a receiver: once, in order, again after a kill with the same id, and each target apart."""

import json
import sqlite3
import threading
from pathlib import Path

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
from squire_pipelines.metrics import counting, families
from squire_pipelines.metrics.folding import read_all
from squire_pipelines.metrics.series import series_name
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


def test_what_is_sent_without_the_ledger_and_never_taken_is_dropped_after_five_tries(
    configure: Configure, clock: Clock, tmp_path: Path
) -> None:
    settings = configure('[alerts]\nwebhook_url = "http://127.0.0.1:9/"\n')

    def fail(*_: object) -> None:
        raise NotReachableError("away")

    watch = AlertWatch(lambda: settings, machine="host", clock=clock)
    watch.add_direct(DirectMessage("msg_1", AlertMessage("one", "body")))
    target = AlertTarget("ops", "apprise", fail)
    process = AlertSender(lambda: settings, watch, targets=lambda _: (target,), every_s=0.001, clock=clock)
    counting.start_counting(tmp_path / "metrics")
    try:
        send(process)
        send(process)
    finally:
        counting.stop_counting()
    values = read_all(tmp_path / "metrics").values
    assert values == {
        series_name(families.ALERT_MESSAGES, ("apprise", "failed")): 5,
        series_name(families.ALERT_MESSAGES, ("apprise", "dropped")): 1,
    }


def test_a_target_that_hangs_keeps_no_other_waiting(configure: Configure, home_ledger: Ledger, clock: Clock) -> None:
    settings = configure('[alerts]\nwebhook_url = "http://127.0.0.1:9/"\n')
    begun, released = threading.Event(), threading.Event()
    sent: list[str] = []

    def hang(*_: object) -> None:
        begun.set()
        released.wait(PATIENCE_S)

    def take(_message_id: str, message: AlertMessage, _is_repeated: bool) -> None:  # noqa: FBT001 - the type's signature
        sent.append(message.title)

    targets = (AlertTarget("webhook", "webhook", hang), AlertTarget("ops", "apprise", take))
    process = sender(settings, clock, targets=lambda _: targets)

    def queue_for_both(name: str) -> None:
        with home_ledger.write() as tx:
            alerts.record_step(tx, AlertStep(), AlertMessage(name, "body"), ("webhook", "ops"), QueueBounds())

    def has_sent(*names: str) -> bool:
        process.send_due()
        return sent == list(names)

    try:
        queue_for_both("one")
        wait_until(lambda: has_sent("one") and begun.is_set())
        queue_for_both("two")
        wait_until(lambda: has_sent("one", "two"))
        with pytest.raises(TimeoutError):
            process.wait(0.01)
    finally:
        released.set()
        process.wait(PATIENCE_S)


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


def test_whatever_a_target_raises_is_a_failed_try_with_its_reason(
    configure: Configure, home_ledger: Ledger, clock: Clock
) -> None:
    def raise_anything(*_: object) -> None:
        raise RuntimeError("https://host.example/token")

    queue(home_ledger, "one")
    target = AlertTarget("webhook", "webhook", raise_anything)
    send(sender(configure(""), clock, targets=lambda _: (target,)))
    with home_ledger.read() as tx:
        (line,) = alerts.target_queues(tx)
    assert (line.waiting, line.error) == (1, "the target failed with RuntimeError")


def test_what_is_wrong_with_the_machine_is_sent_to_no_tenant(configure: Configure, clock: Clock) -> None:
    settings, sent = configure(""), list[str]()
    targets = tuple(
        AlertTarget(name, "apprise", lambda *_, name=name: sent.append(name), is_of_tenant="." in name)
        for name in ("ops", "acme.team")
    )
    watch = AlertWatch(lambda: settings, machine="host", clock=clock)
    watch.add_direct(DirectMessage("msg_1", AlertMessage("one", "body")))
    send(AlertSender(lambda: settings, watch, targets=lambda _: targets, every_s=0.001, clock=clock))
    assert sent == ["ops"]
