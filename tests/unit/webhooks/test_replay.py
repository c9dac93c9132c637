"""What replaying a delivery would do, by how its row stands, what it says and the rules that hold."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from squire_pipelines.domain.deliveries import Effect
from squire_pipelines.domain.delivery_filters import DeliveryRule, OwnAccount
from squire_pipelines.ledger.delivery_effects import RecordedEffect
from squire_pipelines.webhooks.filtering import DeliveryJudge
from squire_pipelines.webhooks.replay import ReplayPlan, ReplayVerdict, plan_replay
from squire_pipelines.webhooks.verification import SignatureState, SignatureVerdict

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = AT + timedelta(seconds=5)
VALID = SignatureVerdict(SignatureState.VALID, "it is the body's")
JUDGE = DeliveryJudge((), OwnAccount(None, "squire/"))
PULL = {
    "action": "closed",
    "repository": {"full_name": "acme/shop"},
    "sender": {"login": "ann", "type": "User"},
    "pull_request": {
        "number": 7,
        "html_url": "https://github.com/acme/shop/pull/7",
        "state": "closed",
        "updated_at": "2026-03-01T12:00:00Z",
        "head": {"ref": "squire/t1", "sha": "e" * 40},
        "base": {"ref": "main"},
    },
}
COLLECTED = RecordedEffect(17, Effect.COLLECTED, "acme/shop", None, "ab" * 16, LATER)


def row(**values: Any) -> dict[str, Any]:
    """Return a delivery's row that was done, five seconds after it came, unless `values` say otherwise."""
    return {
        "id": 17,
        "source": "github",
        "event": "pull_request",
        "repository": "acme/shop",
        "received_at": AT,
        "collected_at": LATER,
        "applied_at": LATER + timedelta(seconds=1),
        "replayed_at": None,
        "tries": 1,
        "state": "done",
        "updated_at": LATER,
        **values,
    }


def planned(values: dict[str, Any], *effects: RecordedEffect, **options: Any) -> ReplayPlan:
    values_of_call: dict[str, Any] = {"signature": VALID, "judge": JUDGE, "watched": ["Acme/Shop"], **options}
    body = values_of_call.pop("body", json.dumps(PULL).encode())
    return plan_replay(values, body, effects, **values_of_call)


def test_what_was_done_is_left_alone_whatever_its_signature() -> None:
    plan = planned(row(), signature=SignatureVerdict(SignatureState.INVALID, "rotated"))
    assert (plan.verdict, plan.reads, plan.applies) == (ReplayVerdict.NOTHING, None, ())
    assert plan.reason == "it was done already, and nothing of it is repeated"


def test_what_failed_is_read_and_applied_again() -> None:
    plan = planned(row(state="failed"))
    assert (plan.verdict, plan.reads) == (ReplayVerdict.REPLAY, "Acme/Shop")
    assert plan.applies == ("pull request acme/shop#7, closed",)


def test_what_repeats_an_earlier_delivery_is_filtered_again_and_names_it() -> None:
    plan = planned(row(state="filtered", applied_at=LATER), repeats=12)
    assert (plan.verdict, plan.applies) == (ReplayVerdict.FILTERED, ())
    assert plan.reason == "it repeats delivery 12, so that squire:repeated filters it again"


def test_a_reading_that_is_recorded_is_not_repeated() -> None:
    plan = planned(row(state="failed"), COLLECTED)
    assert (plan.verdict, plan.reads, plan.recorded) == (ReplayVerdict.REPLAY, None, (COLLECTED,))
    assert plan.applies


def test_what_was_closed_when_it_came_is_read_now_that_its_repository_is_in_the_settings() -> None:
    closed = row(collected_at=AT, applied_at=AT, tries=0)
    plan = planned(closed)
    # By the settings' spelling: GitHub's is another partition, and other rows.
    assert (plan.verdict, plan.reads, plan.repository) == (ReplayVerdict.REPLAY, "Acme/Shop", "Acme/Shop")
    assert planned(closed, watched=["acme/site"]).verdict is ReplayVerdict.NOTHING


def test_what_a_rule_filtered_is_read_when_the_rule_is_gone_and_filtered_by_one_that_holds() -> None:
    filtered = row(state="filtered", collected_at=AT, applied_at=AT, tries=0)
    assert planned(filtered).verdict is ReplayVerdict.REPLAY
    judge = DeliveryJudge((DeliveryRule("no-ann", senders=("ann",)),), JUDGE.own)
    plan = planned(filtered, judge=judge)
    assert (plan.verdict, plan.reason) == (ReplayVerdict.FILTERED, "the rule no-ann filters it")


@pytest.mark.parametrize("state", [SignatureState.INVALID, SignatureState.UNKNOWN])
def test_a_signature_that_does_not_hold_refuses_unless_told_otherwise(state: SignatureState) -> None:
    verdict = SignatureVerdict(state, "because")
    plan = planned(row(state="failed"), signature=verdict)
    assert (plan.verdict, plan.reason) == (ReplayVerdict.REFUSED, f"its signature is {state}: because")
    assert planned(row(state="failed"), signature=verdict, unverified=True).verdict is ReplayVerdict.REPLAY


@pytest.mark.parametrize(
    ("values", "options", "verdict"),
    [
        ({"state": "waiting"}, {}, ReplayVerdict.WAITS),
        ({"source": "cli", "state": "failed"}, {}, ReplayVerdict.REFUSED),
        ({"state": "failed"}, {"body": b"no JSON"}, ReplayVerdict.REFUSED),
        ({"state": "failed", "event": "star"}, {}, ReplayVerdict.NOTHING),
    ],
)
def test_what_is_not_replayed(values: dict[str, Any], options: dict[str, Any], verdict: ReplayVerdict) -> None:
    plan = planned(row(**values), **options)
    assert (plan.verdict, plan.reads, plan.applies) == (verdict, None, ())
    assert plan.reason


INVALID = SignatureVerdict(SignatureState.INVALID, "rotated")


@pytest.mark.parametrize(
    ("state", "signature", "options", "verdict", "reads"),
    [
        ("failed", VALID, {}, ReplayVerdict.REPLAY, "what sentry says"),
        ("failed", INVALID, {}, ReplayVerdict.REFUSED, None),
        ("failed", INVALID, {"unverified": True}, ReplayVerdict.REPLAY, "what sentry says"),
        ("done", INVALID, {}, ReplayVerdict.NOTHING, None),
        ("waiting", VALID, {}, ReplayVerdict.WAITS, None),
    ],
)
def test_what_another_sender_delivered_is_read_again_where_it_failed(
    state: str, signature: SignatureVerdict, options: dict[str, bool], verdict: ReplayVerdict, reads: str | None
) -> None:
    values = row(source="sentry", event="issue", repository=None, state=state)
    plan = planned(values, signature=signature, **options)
    assert (plan.verdict, plan.reads, plan.applies) == (verdict, reads, ())


def test_what_a_rule_filtered_of_another_sender_is_read_when_the_rule_is_gone() -> None:
    values = row(source="sentry", event="issue", repository=None, state="filtered", collected_at=AT, applied_at=AT)
    assert planned(values).verdict is ReplayVerdict.REPLAY
    judge = DeliveryJudge((DeliveryRule("no-issues", sources=("sentry",)),), JUDGE.own)
    plan = planned(values, judge=judge)
    assert (plan.verdict, plan.reason) == (ReplayVerdict.FILTERED, "the rule no-issues filters it")


@pytest.mark.parametrize("source", ["cli", "repair", "installation"])
def test_a_request_to_read_a_repository_is_not_replayed(source: str) -> None:
    plan = planned(row(source=source, state="failed"))
    assert (plan.verdict, plan.reason) == (
        ReplayVerdict.REFUSED,
        "it is a request to read a repository: `squire signals collect` makes another",
    )
