"""`squire alerts`: what is wrong, tests to the targets, silences with an end, and the doctor's line about all that."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.doctor.alerts import check_alerts
from squire_pipelines.domain.alert_rules import Severity
from squire_pipelines.domain.alert_steps import AlertState, AlertStep
from squire_pipelines.domain.alert_texts import AlertMessage
from squire_pipelines.domain.conditions import Condition, HealthLevel
from squire_pipelines.health.process_records import process_record
from squire_pipelines.health.stored_conditions import change_conditions
from squire_pipelines.home import Home
from squire_pipelines.ledger import alerts
from squire_pipelines.ledger.alerts import QueueBounds
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.store import Transaction
from tests.support.cli import SampleData, Squire
from tests.support.provider import plain, serve_upstream
from tests.support.tenants import WORDS, fill

KEY = "engine_lost:engine on host"


def add_alert(tx: Transaction, **notified: Any) -> None:
    began = tx.now - timedelta(minutes=5)
    state = AlertState(
        "al1", KEY, "engine_lost", "engine on host", Severity.CRITICAL, "gone", "start it", began, tx.now, **notified
    )
    alerts.record_step(tx, AlertStep((state,)), AlertMessage("title", "body"), ("webhook",), QueueBounds())


def test_what_is_wrong_is_listed_with_its_silence_and_its_messages(squire: Squire, samples: SampleData) -> None:
    assert "Nobody has ever looked at this home" in squire.ok("alerts", "list")
    record = squire.home / "run" / "endpoint.pid"
    record.parent.mkdir(exist_ok=True)
    record.write_text(process_record(os.getpid()))
    assert squire.ok("alerts", "list").startswith("The operator's endpoint is starting, and has not looked yet:")
    record.unlink()
    with samples.ledger.write() as tx:
        add_alert(tx)
    shown = squire.ok("alerts", "list")
    assert "engine_lost" in shown
    assert "5 min" in shown  # as the messages have it
    assert "not sent yet" in shown
    assert "webhook: 0 sent; 1 wait; 0 dropped" in shown
    silenced = squire.ok("alerts", "silence", "engine_lost", "--for", "2h", "--reason", "move")
    name = silenced.split(":")[0]
    shown = squire.ok("alerts", "list")
    assert f"{name}: engine_lost is silenced until" in shown
    assert "(move)" in shown
    listed = squire.json("alerts", "list", "--ended")
    assert [(alert["key"], alert["severity"], alert["silenced"]) for alert in listed["alerts"]] == [
        (KEY, "critical", True)
    ]
    assert (listed["silences"][0]["id"], listed["targets"][0]["waiting"]) == (name, 1)
    assert squire.ok("alerts", "unsilence", name) == f"{name}: engine_lost is sent again\n"
    assert squire.json("alerts", "list")["silences"] == []
    actions = [row.action for row in samples.read(audit_page, limit=10, action="alerts.*")]
    assert sorted(actions) == ["alerts.silence", "alerts.unsilence"]


def test_an_alert_counts_as_sent_once_a_target_has_its_message(squire: Squire, samples: SampleData) -> None:
    with samples.ledger.write() as tx:
        add_alert(tx, notified_at=tx.now, notifications=1)
    shown = squire.ok("alerts", "list")
    assert "waits" in shown
    assert "sent in" not in shown
    with samples.ledger.write() as tx:
        message = alerts.claim(tx, "webhook", 60)
        assert message is not None
        alerts.record_sent(tx, message.id)
    shown = squire.ok("alerts", "list")
    assert "sent in" in shown
    assert "waits" not in shown


def test_the_list_says_whether_anybody_looks_and_since_when_nobody_does(squire: Squire, samples: SampleData) -> None:
    now = datetime.now(UTC)
    for age_s, expected in ((0, "Nothing is wrong."), (7200, f"since {now - timedelta(hours=2):%Y-%m-%d %H:%M:%SZ}")):
        seen = now - timedelta(seconds=age_s)
        condition = Condition("disk", HealthLevel.OK, "there is room", "", seen, seen, 60.0)
        change_conditions(Home.from_environment(), partial(_put, condition))
        shown = squire.ok("alerts", "list")
        assert expected in shown
        assert ("Nothing is wrong." in shown) is (age_s == 0)
        assert squire.json("alerts", "list")["watched"] is (age_s == 0)
    with samples.ledger.write() as tx:
        add_alert(tx)
        (state,) = alerts.open_alerts(tx)
        alerts.record_step(tx, AlertStep((replace(state, ended_at=tx.now),)), None, (), QueueBounds())
        ended = f"{tx.now:%Y-%m-%d}"
    assert ended in squire.ok("alerts", "list", "--ended")


def test_an_alert_about_the_work_is_on_the_status_screen_while_somebody_looks(
    squire: Squire, samples: SampleData
) -> None:
    for name, rule, age in (("al1", "task_failures", 0), ("al2", "engine_lost", 0), ("al3", "budget", 2)):
        with samples.ledger.write() as tx:
            seen = tx.now - timedelta(hours=age)
            state = AlertState(name, name, rule, "acme/api", Severity.WARNING, "three failed", "look", seen, seen)
            alerts.record_step(tx, AlertStep((state,)), None, (), QueueBounds())
    document = squire.json("status", "--fail-on", "never")
    assert [(alert["rule"], alert["subject"], alert["hint"]) for alert in document["alerts"]] == [
        ("task_failures", "acme/api", "look")
    ]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("engine_gone", "--for", "2h"), "there is no rule 'engine_gone'"),
        (("*",), "a silence has an end"),
        (("*", "--for", "2h", "--until", "2030-01-01T00:00:00Z"), "only one of --for and --until"),
        (("*", "--for", "soon"), "not a time span"),
        (("*", "--for", "999d"), "within a year"),
        (("*", "--until", "2020-01-01T00:00:00Z"), "in the future"),
        (("*", "--until", "tomorrow"), "'tomorrow' is not a time"),
    ],
)
def test_a_silence_without_a_sensible_end_is_refused(
    squire: Squire, samples: SampleData, words: tuple[str, ...], reason: str
) -> None:
    refused = squire("alerts", "silence", *words)
    assert refused.exit_code == 2
    assert reason in refused.output
    with samples.ledger.read() as tx:
        assert alerts.silences(tx) == ()


def test_a_silence_may_end_at_a_moment_or_after_a_span(squire: Squire, samples: SampleData) -> None:
    squire.ok("alerts", "silence", "disk_full", "--for", "2w")
    assert squire.ok("alerts", "unsilence", "disk_full").endswith("disk_full is sent again\n")
    until = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)
    squire.ok("alerts", "silence", "*", "--until", until.isoformat())
    (silence,) = samples.read(alerts.silences)
    assert (silence.match, silence.until) == ("*", until)
    assert squire("alerts", "unsilence", "disk_full").exit_code == 1


def test_a_test_says_of_each_target_whether_it_took_it(squire: Squire, samples: SampleData) -> None:
    assert squire("alerts", "test").exit_code == 3
    with serve_upstream() as hook:
        hook.answer = plain(200, {})
        squire.config(f'[alerts]\nwebhook_url = "{hook.url}/hook?token=abc123"\napprise = ["ops"]\n')
        assert squire.ok("alerts", "test", "webhook") == "webhook: took the test\n"
        failed = squire("alerts", "test", "--json")
        assert failed.exit_code == 1
        results = {result["target"]: result["problem"] for result in json.loads(failed.stdout)}
        assert results == {"webhook": None, "ops": "the secret alert-ops-token is missing"}
        assert squire("alerts", "test", "other").exit_code == 3
        hook.answer = plain(500, {})
        refused = squire("alerts", "test", "webhook")
    assert "webhook: the alert could not be delivered to alerts.webhook_url: 500" in refused.output
    assert "abc123" not in refused.output + failed.output
    assert [json.loads(request.body)["title"] for request in hook.seen] == ["Squire: a test"] * 3
    assert samples.read(alerts.target_queues) == ()


def _put(condition: Condition, known: Mapping[str, Condition]) -> Mapping[str, Condition]:
    return {**known, condition.name: condition}


def doctor_lines(squire: Squire, settings: str) -> list[tuple[str, str]]:
    context = CliContext()
    context.config = squire.config(settings)
    try:
        return [(line.status, line.message) for line in check_alerts(context)]
    finally:
        context.close()


def test_the_doctor_says_whether_anybody_is_told(squire: Squire, samples: SampleData) -> None:
    hook = '[alerts]\nwebhook_url = "http://127.0.0.1:9/hook"\n'
    assert doctor_lines(squire, "")[0][0] == "ok"
    unwatched = [("warn", "no operator's endpoint runs for this home, so that nobody watches and tells")]
    assert doctor_lines(squire, hook) == unwatched
    assert doctor_lines(squire, f"{hook}[observability]\nenabled = false\n") == unwatched
    now = datetime.now(UTC)
    for age_s, expected in ((400, unwatched), (0, [("ok", "go to webhook; `squire alerts test` tries it")])):
        seen = now - timedelta(seconds=age_s)
        condition = Condition("disk", HealthLevel.OK, "there is room", "", seen, seen, 60.0)
        change_conditions(Home.from_environment(), partial(_put, condition))
        assert doctor_lines(squire, hook) == expected
    with samples.ledger.write() as tx:
        add_alert(tx)
        claimed = alerts.claim(tx, "webhook", 60)
        assert claimed is not None
        alerts.record_failure(tx, claimed.id, "no answer")
    assert doctor_lines(squire, hook) == [("warn", "messages to webhook wait: no answer")]


def test_a_tenants_alerts_are_listed_alone(squire: Squire, samples: SampleData) -> None:
    made = fill(samples.ledger)
    with samples.ledger.write() as tx:
        for whose in ("acme", "beta"):
            until = tx.now + timedelta(days=1)
            alerts.add_silence(tx, made[whose].alert, until=until, reason=WORDS[whose], actor="a", trace_id=None)
    listed = str(squire.json("alerts", "list", "--ended", "--tenant", "beta"))
    assert WORDS["beta"] in listed
    assert WORDS["acme"] not in listed
    assert WORDS["default"] not in listed
