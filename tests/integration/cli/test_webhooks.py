"""`squire webhooks`: what came is listed, shown and followed."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from squire_pipelines.domain.deliveries import Effect
from squire_pipelines.github.protocol import sign
from squire_pipelines.ledger import deliveries
from squire_pipelines.ledger.delivery_effects import record_effect
from squire_pipelines.ledger.tables import deliveries as table
from squire_pipelines.ledger.tables import delivery_checks, delivery_effects, delivery_refusals
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

    def store(
        delivery_id: str = "abc",
        *,
        event: str = "issues",
        action: str | None = "opened",
        body: bytes = BODY,
        **values: Any,
    ) -> int:
        recorded = record_delivery(
            samples.ledger,
            source="github",
            delivery_id=delivery_id,
            event=event,
            action=action,
            repository=REPOSITORY,
            body=body,
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


def test_a_delivery_is_shown_with_its_effects_and_its_signature_verified_again(
    squire: Squire, samples: SampleData, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = deliver(signature=sign(BODY, SECRET.encode()), hook_id="77", sender="ann")
    with samples.ledger.write() as tx:
        record_effect(tx, number, Effect.COLLECTED, REPOSITORY, trace_id=TRACE, detail="2 signals are new")
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", SECRET)
    shown = squire.ok("webhooks", "show", "abc", "--body")
    assert "signature:     valid" in shown
    (effect,) = [line for line in shown.splitlines() if line.startswith("  effect:        ")]
    assert effect.endswith(f" collected {REPOSITORY}: 2 signals are new, trace {TRACE}")
    assert '"title": "It is ' in shown
    assert "\x1b" not in shown
    at = datetime(2026, 3, 1, tzinfo=UTC)
    asked_nothing = deliver("nothing", collected_at=at, applied_at=at)
    assert "effects:       none: it says nothing that" in squire.ok("webhooks", "show", str(asked_nothing))
    document = squire.json("webhooks", "show", str(number), "--body")
    assert document["body"] == json.loads(BODY)
    assert document["signature"]["state"] == "valid"
    assert (document["hook_id"], document["sender"], document["body_bytes"]) == ("77", "ann", len(BODY))
    assert document["effects"][0]["effect"] == "collected"
    assert "body" not in squire.json("webhooks", "show", str(number))
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", "the-one-after-a-rotation")
    assert "signature:     invalid" in squire.ok("webhooks", "show", "abc")
    deliver("gone", body_encoding="removed")
    shown = squire.ok("webhooks", "show", "gone")
    assert "signature:     unknown: the stored body of delivery " in shown
    assert "retention.max_delivery_bodies" in squire.fails(1, "webhooks", "show", "gone", "--body")
    with samples.ledger.write() as tx:
        (asked,) = deliveries.request_collection(tx, [REPOSITORY], source="cli", trace_id=TRACE)
    assert "unknown: a request to read a repository is not signed" in squire.ok("webhooks", "show", str(asked))


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
        assert f"delivery {number} (issues.opened about {REPOSITORY}, received {old:%Y-%m-%d %H:%M:%S}Z)" in message
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


PULL = {
    "action": "closed",
    "repository": {"full_name": REPOSITORY},
    "sender": {"login": "renovate[bot]", "type": "Bot"},
    "pull_request": {
        "number": 7,
        "html_url": f"https://github.com/{REPOSITORY}/pull/7",
        "state": "closed",
        "updated_at": "2026-03-01T12:00:00Z",
        "head": {"ref": "renovate/all", "sha": "e" * 40},
        "base": {"ref": "main"},
        "labels": [{"name": "wip"}],
    },
}
PULL_BODY = json.dumps(PULL).encode()
WATCHED = f'repositories = ["{REPOSITORY}"]\n'


@pytest.fixture
def failed(squire: Squire, samples: SampleData, deliver: Deliver, monkeypatch: pytest.MonkeyPatch) -> int:
    """A signed delivery about a repository of the settings, which failed."""
    squire.config(WATCHED)
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", SECRET)
    with samples.ledger.read() as tx:
        now = tx.now
    return deliver(
        "failed",
        event="pull_request",
        action="closed",
        body=PULL_BODY,
        signature=sign(PULL_BODY, SECRET.encode()),
        collected_at=now,
        applied_at=now,
        error="not collected after 5 requests",
    )


def test_a_replay_is_shown_first_and_then_opens_the_delivery_again_once(
    squire: Squire, samples: SampleData, failed: int
) -> None:
    with samples.ledger.write() as tx:
        record_effect(tx, failed, Effect.OUTCOME, f"{REPOSITORY}#7", trace_id=TRACE)
    (plan,) = squire.json("webhooks", "replay", "failed", "--dry-run")
    assert (plan["verdict"], plan["reads"], plan["applies"]) == (
        "replay",
        REPOSITORY,
        [f"pull request {REPOSITORY}#7, closed"],
    )
    assert [effect["effect"] for effect in plan["recorded"]] == ["outcome"]
    assert squire.json("webhooks", "show", "failed")["state"] == "failed"
    assert "1 read again with Squire's next look" in squire.ok("webhooks", "replay", "--failed", "--since", "1h")
    shown = squire.json("webhooks", "show", "failed")
    assert (shown["state"], shown["error"], shown["replays"]) == ("waiting", None, 1)
    assert "replayed:      1 time, last " in squire.ok("webhooks", "show", "failed")
    assert "1 delivery: 1 waiting already. Nothing was changed." in squire.ok("webhooks", "replay", "failed")
    (audited,) = squire.json("audit", "list", "--action", "delivery.replayed")
    assert (audited["subject"], audited["detail"]["reads"]) == ("failed", REPOSITORY)


def test_a_replay_of_what_was_done_changes_nothing_and_says_so(
    squire: Squire, samples: SampleData, failed: int
) -> None:
    with samples.ledger.write() as tx:
        later = tx.now + timedelta(seconds=5)
        done = {"error": None, "tries": 1, "applied_at": later}
        tx.execute(update(table).where(table.c.id == failed).values(**done))
    before = squire.json("webhooks", "show", "failed")
    shown = squire.ok("webhooks", "replay", "--since", "1d")
    assert "it was done already, and nothing of it is repeated" in " ".join(shown.split())
    assert shown.endswith("1 delivery: 1 with nothing left to do. Nothing was changed.\n")
    assert squire.json("webhooks", "show", "failed") == before
    assert squire.json("audit", "list", "--action", "delivery.replayed") == []


def test_what_repeats_an_earlier_delivery_names_it_and_is_not_replayed(
    squire: Squire, samples: SampleData, failed: int, deliver: Deliver
) -> None:
    with samples.ledger.write() as tx:
        tx.execute(update(table).where(table.c.id == failed).values(error=None))
        now = tx.now
    closed = {"collected_at": now, "applied_at": now, "signature": sign(PULL_BODY, SECRET.encode())}
    again = deliver("captured", event="pull_request", body=PULL_BODY, filtered_by="squire:repeated", **closed)
    assert f"repeats:       delivery {failed}, which has the same body" in squire.ok("webhooks", "show", str(again))
    (plan,) = squire.json("webhooks", "replay", str(again))
    reason = f"it repeats delivery {failed}, so that squire:repeated filters it again"
    assert (plan["verdict"], plan["reason"]) == ("filtered", reason)


def test_a_replay_of_what_no_present_secret_signed_is_refused_unless_told_otherwise(
    squire: Squire, failed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", "the-one-after-a-rotation")
    message = squire.fails(5, "webhooks", "replay", str(failed))
    assert f"delivery {failed} is not replayed: its signature is invalid: none of the secrets" in message
    assert "--unverified" in message
    assert squire.json("webhooks", "show", "failed")["state"] == "failed"
    assert "1 read again with Squire's next look" in squire.ok("webhooks", "replay", str(failed), "--unverified")
    (audited,) = squire.json("audit", "list", "--action", "delivery.replayed")
    assert audited["detail"]["unverified"] is True


def test_many_are_replayed_only_after_a_yes_and_none_without_a_selection(
    squire: Squire, samples: SampleData, deliver: Deliver, failed: int
) -> None:
    with samples.ledger.read() as tx:
        now = tx.now
    for number in range(10):
        values = {"signature": sign(PULL_BODY, SECRET.encode()), "collected_at": now, "applied_at": now, "error": "x"}
        deliver(f"more-{number}", event="pull_request", action="closed", body=PULL_BODY, **values)
    message = squire.fails(5, "webhooks", "replay", "--failed")
    assert "nobody is there to ask whether to replay 11 deliveries" in message
    assert squire.json("webhooks", "list", "--state", "waiting") == []
    squire.ok("webhooks", "replay", "--failed", "--yes")
    assert len(squire.json("webhooks", "list", "--state", "waiting")) == 11
    squire.fails(2, "webhooks", "replay")
    squire.fails(2, "webhooks", "replay", str(failed), "--failed")


def test_rules_are_tried_over_what_is_stored_and_listed_with_what_they_did(
    squire: Squire, samples: SampleData, deliver: Deliver, failed: int
) -> None:
    with samples.ledger.write() as tx:
        record_effect(tx, failed, Effect.OUTCOME, f"{REPOSITORY}#7", trace_id=TRACE)
    deliver("star", event="star", action="created", body=b'{"repository": {"full_name": "acme/shop"}}')
    deliver("junk", body=b"no JSON")
    deliver("alert", source="sentry", event="metric_alert", repository=None, body=b"of a form that nobody here knows")
    rules = squire.home / "rules.toml"
    rules.write_text(
        '[[webhooks.filters]]\nname = "alerts"\nsources = ["sentry"]\nevents = ["metric_*"]\n'
        '[[webhooks.filters]]\nname = "wip"\nkeep = true\nlabels = ["later"]\n'
        '[[webhooks.filters]]\nname = "no-bots"\nbots = true\nrepositories = ["acme/*"]\n'
    )
    trial = squire.json("webhooks", "filters", "--dry-run", "--file", str(rules))
    assert {name: trial[name] for name in ("judged", "filtered", "were_filtered", "asking_nothing", "unread")} == {
        "judged": 2,
        "filtered": 2,
        "were_filtered": 0,
        "asking_nothing": 1,
        "unread": 1,
    }
    matched = {rule["name"]: (rule["matched"], rule["had_effects"]) for rule in trial["rules"]}
    assert matched == {"squire:own": (0, 0), "alerts": (1, 0), "wip": (0, 0), "no-bots": (1, 1)}
    (example,) = trial["rules"][3]["examples"]
    assert (example["id"], example["sender"]) == (failed, None)
    assert "Nothing was changed." in squire.ok("webhooks", "filters", "--dry-run", "--file", str(rules))
    assert squire.json("webhooks", "filters", "--dry-run")["filtered"] == 0
    squire.config(WATCHED + rules.read_text())
    deliver("filtered", filtered_by="no-bots")
    deliver("by-an-old-rule", filtered_by="old")
    listed = {rule["name"]: (rule["does"], rule["filtered"]) for rule in squire.json("webhooks", "filters")}
    assert listed == {
        "squire:own": ("filters", 0),
        "alerts": ("filters", 0),
        "wip": ("keeps", 0),
        "no-bots": ("filters", 1),
        "old": ("gone", 1),
    }
    squire.fails(2, "webhooks", "filters", "--file", str(rules))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ('name = "x"', "names nothing to match"),
        ('name = "x"\nbots = true\n[[webhooks.filters]]\nname = "x"\nbots = false', "two rules are called x"),
        ('name = "squire:own"\nbots = true', "a rule's name has up to 40 small letters"),
        ('name = "x"\nsources = ["sentry"]\nbots = true', "names sources, and bots"),
        (
            'name = "x"\nsources = ["sentri"]\n[hooks.sentry]',
            "names the source 'sentri', which is none of",
        ),
        ('name = "x"\nevents = "push"', 'events is a list: events = ["push"]'),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_line(squire: Squire, rule: str, message: str) -> None:
    squire.config(f"[[webhooks.filters]]\n{rule}\n")
    assert message in squire.fails(3, "webhooks", "filters")


def test_stats_count_what_came_what_it_did_and_what_was_refused(
    squire: Squire, samples: SampleData, deliver: Deliver
) -> None:
    assert squire.ok("webhooks", "stats").startswith("0 deliveries since ")
    with samples.ledger.write() as tx:
        now = tx.now
        row = {"source": "github", "status": 401, "reason": "X-Hub-Signature-256 is wrong", "updated_at": now}
        for minutes, count in ((1, 3), (2, 4), (100_000, 9)):
            tx.execute(insert(delivery_refusals).values(**row, minute=now - timedelta(minutes=minutes), count=count))
        check = {
            "hook": "app",
            "since": now,
            "listed": 9,
            "missing": 1,
            "failed": 1,
            "redelivered": 1,
            "trace_id": TRACE,
        }
        tx.execute(insert(delivery_checks).values(**check, at=now))
        for source in ("cli", "repair", "installation"):  # which nobody delivered
            deliveries.request_collection(tx, [REPOSITORY], source=source, trace_id=TRACE)
    for number, seconds in enumerate((2, 4, 8)):
        received = now - timedelta(minutes=5)
        row_id = deliver(f"d{number}", sender="ann", received_at=received)
        with samples.ledger.write() as tx:
            effect = {"delivery": row_id, "effect": "outcome", "subject": "x", "trace_id": TRACE}
            tx.execute(insert(delivery_effects).values(**effect, at=received + timedelta(seconds=seconds)))
    deliver("filtered", event="push", action=None, filtered_by="no-bots", collected_at=now, applied_at=now)
    deliver("old", received_at=now - timedelta(days=3))
    figures = squire.json("webhooks", "stats")
    assert (figures["received"], sum(figures["hours"].values())) == (4, 4)
    assert figures["states"] == {"waiting": 3, "done": 0, "filtered": 1, "failed": 0}
    assert (figures["events"], figures["senders"]) == ({"issues": 3, "push": 1}, {"ann": 3})
    assert figures["repositories"] == {REPOSITORY: 4}
    assert figures["filtered"] == {"no-bots": 1}
    assert figures["effects"] == {"deliveries": 3, "p50_s": 4.0, "p95_s": pytest.approx(7.6)}
    assert [(entry["reason"], entry["refused"]) for entry in figures["refused"]] == [
        ("X-Hub-Signature-256 is wrong", 7)
    ]
    assert all(hour.endswith(":00:00Z") for hour in figures["hours"])
    shown = squire.ok("webhooks", "stats")
    assert "p50 4.0 s, p95 7.6 s (3 deliveries)" in shown
    assert "9 listed, 1 not here, 1 of them failed, 1 asked for again" in shown
    assert squire.json("webhooks", "stats", "--since", "7d")["received"] == 5


@pytest.mark.parametrize("body", [b'{"a": NaN}', b'{"a": 1e999}'])
def test_a_body_that_is_no_json_to_others_is_shown_as_text(squire: Squire, deliver: Deliver, body: bytes) -> None:
    number = deliver(body=body)
    assert squire.json("webhooks", "show", str(number), "--body")["body"] == body.decode()
