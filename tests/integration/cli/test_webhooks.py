"""`squire webhooks`: what came is listed, shown and followed."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import select, update

from squire_pipelines.cli.delivery_queries import state_is
from squire_pipelines.domain.deliveries import DeliveryMarks, DeliveryState, Effect
from squire_pipelines.github.protocol import sign
from squire_pipelines.ledger import deliveries
from squire_pipelines.ledger.delivery_effects import record_effect
from squire_pipelines.ledger.tables import deliveries as table
from squire_pipelines.sections.operation import RetentionSettings
from squire_pipelines.upkeep.row_retention import retention_from
from squire_pipelines.warehouse.archive import archive_old_rows
from tests.support.cli import REPOSITORY, TRACE, SampleData, Squire
from tests.support.deliveries import record_delivery

SECRET = "a-secret-of-the-webhook"
BODY = json.dumps({"action": "opened", "issue": {"title": "It is \x1b[31mbroken"}}).encode()
Deliver = Callable[..., int]


@pytest.fixture
def deliver(samples: SampleData) -> Deliver:
    """Stores a delivery, with any values of its row, and returns its number."""

    def store(delivery_id: str = "abc", *, event: str = "issues", action: str | None = "opened", **values: Any) -> int:
        recorded = record_delivery(
            samples.ledger,
            source="github",
            delivery_id=delivery_id,
            event=event,
            action=action,
            repository=REPOSITORY,
            body=BODY,
        )
        if values:
            with samples.ledger.write() as tx:
                tx.execute(update(table).where(table.c.id == recorded.id).values(**values))
        return recorded.id

    return store


def test_deliveries_are_listed_by_what_they_are_and_how_they_stand(
    squire: Squire, samples: SampleData, deliver: Deliver
) -> None:
    with samples.ledger.read() as tx:
        now = tx.now
    waiting = deliver("waits", sender="ann")
    done = deliver("done", event="push", action=None, sender="Renovate[bot]", collected_at=now, applied_at=now)
    failed = deliver("failed", collected_at=now, applied_at=now, error="it cannot be applied")
    filtered = deliver("filtered", filtered_by="no-bots", collected_at=now, applied_at=now)
    with samples.ledger.write() as tx:
        (asked,) = deliveries.request_collection(tx, [REPOSITORY], source="cli", trace_id=TRACE)
    for words, ids in (
        ((), [asked, filtered, failed, done, waiting]),
        (("--state", "waiting"), [asked, waiting]),
        (("--state", "done"), [done]),
        (("--state", "failed"), [failed]),
        (("--state", "filtered"), [filtered]),
        (("--filtered-by", "no-bots"), [filtered]),
        (("--sender", "renovate"), [done]),
        (("--event", "issues", "--action", "opened", "--state", "waiting"), [waiting]),
        (("--source", "cli"), [asked]),
        (("--since", "2999-01-01"), []),
        (("--until", "2999-01-01", "--source", "cli"), [asked]),
        (("--pending", "--source", "github"), [waiting]),
    ):
        assert [row["id"] for row in squire.json("webhooks", "list", *words)] == ids, words
    shown = squire.ok("webhooks", "list", "--state", "failed")
    assert "it cannot be applied" in shown
    assert "no-bots" in squire.ok("webhooks", "list", "--state", "filtered")


def test_the_state_that_is_asked_for_is_the_one_that_the_marks_make(samples: SampleData, deliver: Deliver) -> None:
    with samples.ledger.read() as tx:
        now = tx.now
    names = DeliveryMarks.__slots__
    for number, values in enumerate(
        product(*[(None, "x" if name in {"error", "filtered_by"} else now) for name in names])
    ):
        deliver(f"d{number}", **dict(zip(names, values, strict=True)))
    with samples.ledger.read() as tx:
        rows = tx.execute(select(table.c.id, *table.c[names])).all()
        by_marks = {
            state: {row.id for row in rows if DeliveryMarks(*row[1:]).state is state} for state in DeliveryState
        }
        by_query = {
            state: set(tx.execute(select(table.c.id).where(state_is(state))).scalars()) for state in DeliveryState
        }
    assert by_query == by_marks
    assert all(by_marks.values())


def test_a_delivery_is_shown_with_its_effects_and_its_signature_verified_again(
    squire: Squire, samples: SampleData, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = deliver(signature=sign(BODY, SECRET.encode()), hook_id="77", sender="ann")
    with samples.ledger.write() as tx:
        record_effect(tx, number, Effect.COLLECTED, REPOSITORY, trace_id=TRACE, detail="2 signals are new")
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", SECRET)
    shown = squire.ok("webhooks", "show", "abc", "--body")
    assert "signature:     valid" in shown
    assert f"collected {REPOSITORY}: 2 signals are new, trace {TRACE}" in shown
    assert '"title": "It is ' in shown
    assert "\x1b" not in shown
    document = squire.json("webhooks", "show", str(number), "--body")
    assert document["body"] == json.loads(BODY)
    assert document["signature"]["state"] == "valid"
    assert (document["hook_id"], document["sender"], document["body_bytes"]) == ("77", "ann", len(BODY))
    assert document["effects"][0]["effect"] == "collected"
    assert "body" not in squire.json("webhooks", "show", str(number))
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", "the-one-after-a-rotation")
    assert "signature:     invalid" in squire.ok("webhooks", "show", "abc")
    with samples.ledger.write() as tx:
        (asked,) = deliveries.request_collection(tx, [REPOSITORY], source="cli", trace_id=TRACE)
    assert "unknown: a request of a command is not signed" in squire.ok("webhooks", "show", str(asked))


def test_what_retention_has_taken_is_told_with_when_and_where(
    squire: Squire, samples: SampleData, deliver: Deliver
) -> None:
    with samples.ledger.read() as tx:
        old = tx.now - timedelta(days=30)
    number = deliver("old-one", received_at=old, collected_at=old, applied_at=old)
    archive = squire.home / "archive"
    result = archive_old_rows(samples.ledger, archive, retention_from(RetentionSettings()))
    assert result.rows == {"deliveries": 1}
    for name in (str(number), "old-one"):
        message = squire.fails(1, "webhooks", "show", name)
        assert f"delivery {number} (issues.opened about {REPOSITORY}, received {old:%Y-%m-%d %H:%M:%S} UTC)" in message
        assert f"retention moved it on {datetime.now(old.tzinfo):%Y-%m-%d}" in message
        assert str(archive / result.files[0]) in message
    assert "there is no delivery 'never'" in squire.fails(1, "webhooks", "show", "never")


def test_tail_shows_what_is_there_and_what_comes_as_lines_of_json(squire: Squire, deliver: Deliver) -> None:
    first, second = deliver("one"), deliver("two", sender="ann")
    words = ("webhooks", "tail", "--interval", "1", "--timeout", "1")
    lines = [json.loads(line) for line in squire.ok(*words, "--json").splitlines()]
    assert [(line["id"], line["state"]) for line in lines] == [(first, "waiting"), (second, "waiting")]
    assert f" {second} issues.opened {REPOSITORY} by ann waiting" in squire.ok(*words, "-n", "1")
    assert squire.ok(*words, "-n", "0") == ""
