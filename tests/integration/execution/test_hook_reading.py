"""From a delivery of another sender to a signal: once, in the order of arrival, and whatever else is delivered."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, select, update

from squire_pipelines.domain.authority import TrustRules
from squire_pipelines.domain.deliveries import DeliverySource, Effect
from squire_pipelines.domain.signals import CollectionStatus, PluginFact, Signal
from squire_pipelines.execution.hook_reading import HookRecorder
from squire_pipelines.ledger import collections, deliveries, hook_deliveries
from squire_pipelines.ledger.delivery_effects import effects_of
from squire_pipelines.ledger.inbox import IncomingDelivery, PackedDelivery, store
from squire_pipelines.ledger.repository_readings import RecordedReading
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import deliveries as delivery_table
from squire_pipelines.ledger.tables import signals as signal_table
from squire_pipelines.settings.model import Settings
from tests.support.ledgers import sqlite_ledger_file

SHOP, API = "acme/shop", "acme/api"
RUN_TRACE = "ab" * 16


class Senders:
    """A ledger into which senders deliver, and the settings."""

    def __init__(self, ledger: Ledger, **table: Any) -> None:
        self.ledger = ledger
        self.settings = Settings(repositories=(SHOP, API), hooks={"deploys": {"reader": "generic", **table}})
        self.reports: list[tuple[RecordedReading, str]] = []
        self._count = 0

    def change(self, **hooks: Any) -> None:
        self.settings = Settings(repositories=(SHOP, API), hooks=hooks)

    def deliver(self, *facts: dict[str, Any], body: bytes | None = None, hook: str = "deploys") -> int:
        self._count += 1
        text = json.dumps(facts).encode() if body is None else body
        incoming = IncomingDelivery(hook, f"d-{self._count}", "message", None, None, text, reads_body=True)
        return store(self.ledger, [PackedDelivery.of(incoming)])[0].id

    def read(self, *ids: int, names: tuple[str, ...] = ()) -> frozenset[int]:
        def report(entry: RecordedReading, trace_id: str) -> None:
            self.reports.append((entry, trace_id))

        recorder = HookRecorder(self.settings, self.ledger, lambda _: TrustRules(), "run", report)
        return recorder.read(ids, names, lambda _: RUN_TRACE)

    def replay(self, *ids: int) -> None:
        with self.ledger.write() as tx:
            deliveries.reopen(tx, ids, collects=True, applies=False)
        self.read(*ids)

    def signals(self, repository: str = SHOP) -> tuple[Signal, ...]:
        with self.ledger.read() as tx:
            return collections.active_signals(tx, repository)

    def row(self, delivery: int) -> Row[Any]:
        with self.ledger.read() as tx:
            return tx.execute(select(delivery_table).where(delivery_table.c.id == delivery)).one()


def fact(key: str = "1", **values: Any) -> dict[str, Any]:
    return {"repository": SHOP, "key": key, "title": "It fails", "body": "Often.", **values}


@pytest.fixture
def senders(tmp_path: Path, open_at: Callable[..., Ledger]) -> Senders:
    return Senders(open_at(f"sqlite:///{sqlite_ledger_file(tmp_path / 'ledger.sqlite')}"))


def test_what_is_delivered_is_a_signal_recorded_with_its_delivery_and_its_trace(senders: Senders) -> None:
    delivery = senders.deliver(fact(author="Ann", severity="high"))
    assert senders.row(delivery).collected_at is None
    assert senders.read(delivery) == frozenset()
    (signal,) = senders.signals()
    assert signal.ref == "plugin_fact:hooks/deploys/1"
    assert signal.details == PluginFact(source="deploys", author="Ann", body="Often.", severity="high")
    row = senders.row(delivery)
    assert (row.repository, row.error, row.collected_trace_id) == (SHOP, None, row.trace_id)
    assert row.collected_at is not None
    with senders.ledger.read() as tx:
        (effect,) = effects_of(tx, [delivery])
        assert hook_deliveries.open_facts(tx, "deploys") == 1
        assert hook_deliveries.open_facts(tx, "deploy") == 0
    assert (effect.effect, effect.subject, effect.detail) == (Effect.SIGNAL, f"{SHOP} hooks/deploys/1", "open")
    ((entry, trace_id),) = senders.reports
    assert (entry.row.status, entry.row.signals, trace_id) == (CollectionStatus.FRESH, 1, row.trace_id)


def test_deliveries_count_in_the_order_of_arrival_for_each_repository(senders: Senders) -> None:
    first = senders.deliver(fact(), fact(repository=API))
    second = senders.deliver(fact(state="closed"))
    senders.read(first, second)
    assert (senders.signals(SHOP), len(senders.signals(API))) == ((), 1)
    assert senders.row(first).repository is None
    again = senders.deliver(fact(state="open"))
    senders.read(again)
    assert len(senders.signals(SHOP)) == 1


def test_a_replay_changes_nothing_and_what_was_overtaken_stays_so(senders: Senders) -> None:
    opened, closed = senders.deliver(fact()), senders.deliver(fact(state="closed"))
    senders.read(opened, closed)
    readings = len(senders.reports)
    senders.replay(opened)
    assert (senders.signals(), len(senders.reports)) == ((), readings)
    assert senders.row(opened).collected_at is not None
    # One that could not be read before is overtaken too by what came later.
    late = senders.deliver(fact("2"))
    senders.read(senders.deliver(fact("2", state="closed")))
    senders.read(late)
    assert senders.signals() == ()


def test_a_delivery_that_cannot_be_read_is_set_aside_with_the_reason_and_the_others_are_read(senders: Senders) -> None:
    wrong = senders.deliver(fact(repository="acme/other"))
    no_json, damaged, right = senders.deliver(body=b"{"), senders.deliver(fact("2")), senders.deliver(fact("3"))
    with senders.ledger.write() as tx:
        tx.execute(update(delivery_table).where(delivery_table.c.id == damaged).values(body=b"?", body_encoding="zlib"))
    assert senders.read(wrong, no_json, damaged, right) == frozenset()
    assert [signal.key for signal in senders.signals()] == ["hooks/deploys/3"]
    reasons = {
        wrong: "acme/other is no repository that [hooks.deploys] may be about",
        no_json: "the body is no JSON",
        damaged: "what is stored of its body cannot be used",
    }
    for delivery, reason in reasons.items():
        row = senders.row(delivery)
        assert reason in row.error
        assert row.set_aside_at is not None
    senders.change(deploys={"reader": "generic", "projects": {"acme/other": API}})
    senders.replay(wrong)
    assert (senders.row(wrong).error, senders.row(wrong).repository, len(senders.signals(API))) == (None, API, 1)


def test_what_a_sender_delivered_that_is_switched_off_or_gone_is_set_aside_and_its_facts_end(senders: Senders) -> None:
    senders.read(senders.deliver(fact()))
    late = senders.deliver(fact("2"))
    gone = senders.deliver(fact("3"), hook="gone")
    senders.change(deploys={"reader": "generic", "enabled": False})
    senders.read(late, gone, names=(SHOP,))
    assert senders.signals() == ()
    assert [senders.row(one).error for one in (late, gone)] == [
        "[hooks.deploys] is switched off, or gone",
        "[hooks.gone] is switched off, or gone",
    ]


def test_facts_of_which_nothing_comes_end_with_a_collection_of_their_repository(senders: Senders) -> None:
    senders.read(senders.deliver(fact()))
    (signal,) = senders.signals()
    old = signal.model_copy(update={"updated_at": signal.updated_at - timedelta(days=20)})
    with senders.ledger.write() as tx:
        tx.execute(update(signal_table).values(signal=old.model_dump(mode="json")))
    senders.read(names=(API,))
    assert len(senders.signals()) == 1
    senders.read(names=(SHOP, API))
    assert senders.signals() == ()
    assert senders.reports[-1][1] == RUN_TRACE


def test_deliveries_of_github_and_of_commands_are_not_read_here(senders: Senders) -> None:
    github = senders.deliver(fact(), hook="github")
    with senders.ledger.write() as tx:
        (asked,) = deliveries.request_collection(tx, [SHOP], source=DeliverySource.COMMAND, trace_id=RUN_TRACE)
    senders.read(github, asked)
    assert senders.signals() == ()
    assert senders.row(asked).collected_at is None


def test_bodies_are_read_a_portion_at_a_time_by_what_was_signed_and_a_larger_one_alone(senders: Senders) -> None:
    sizes = (300, 300, 1000, 100)  # each is stored in a fifth of that, or less
    ids = [senders.deliver(body=b"x" * size) for size in sizes]
    portions, after = [], 0
    with senders.ledger.read() as tx:
        while pending := hook_deliveries.pending(tx, ids, ("deploys",), after=after, most_bytes=650):
            portions.append([len(one.body or b"") for one in pending])
            after = pending[-1].id
    assert portions == [[300, 300], [1000], [100]]
