"""`POST /hooks/{source}`: who is verified how, what is stored of it, and what is refused with which words."""

import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from squire_pipelines.domain.delivery_filters import DeliveryRule
from squire_pipelines.domain.hook_schemes import HmacScheme, StandardScheme, TokenScheme
from squire_pipelines.domain.standard_webhooks import sign_message
from squire_pipelines.ledger.delivery_bodies import unpack
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import deliveries, delivery_refusals
from squire_pipelines.webhooks.filtering import NO_RULES, DeliveryJudge
from squire_pipelines.webhooks.limits import Limits
from squire_pipelines.webhooks.live_hooks import LiveHook
from squire_pipelines.webhooks.receiver import create_app
from squire_pipelines.webhooks.signing_secrets import SigningSecrets
from tests.support.deliveries import SECRET

KEY = "the secret of this sender"
BODY = json.dumps({"repository": "acme/shop", "key": "1", "title": "One"}).encode()
JSON = {"Content-Type": "application/json"}
SENTRY = HmacScheme(header="Sentry-Hook-Signature", id_header="Request-ID", event_header="Sentry-Hook-Resource")
HOOKS = {
    "sentry": LiveHook(SENTRY, (KEY,), 2**20),
    "deploys": LiveHook(StandardScheme(), (KEY, "the old one"), 1000),
    "ci": LiveHook(TokenScheme(), (KEY,), 2**20),
    "broken": LiveHook(TokenScheme(), (), 2**20),
}


@pytest.fixture
def hooks() -> dict[str, LiveHook]:
    return dict(HOOKS)


@pytest.fixture
def rules() -> list[DeliveryRule]:
    """The rules of the settings that hold."""
    return []


@pytest.fixture
def client(ledger: Ledger, hooks: Mapping[str, LiveHook], rules: list[DeliveryRule]) -> Iterator[TestClient]:
    app = create_app(
        ledger=ledger,
        secrets=lambda: SigningSecrets((SECRET,)),
        repositories=lambda: ("acme/shop",),
        hooks=lambda: hooks,
        judge=lambda: DeliveryJudge(tuple(rules), NO_RULES.own),
        limits=Limits(),
    )
    with TestClient(app) as client:
        yield client


def sentry(body: bytes = BODY) -> dict[str, str]:
    signature = hmac.new(KEY.encode(), body, "sha256").hexdigest()
    return {**JSON, "Sentry-Hook-Signature": signature, "Request-ID": "r-1", "Sentry-Hook-Resource": "issue"}


def standard(*, ago_s: int = 0, body: bytes = BODY, key: str = KEY) -> dict[str, str]:
    moment = int(time.time()) - ago_s
    signature = f"v1,AAAA {sign_message(key.encode(), 'msg_1', moment, body)}"
    return {**JSON, "webhook-id": "msg_1", "webhook-timestamp": str(moment), "webhook-signature": signature}


@pytest.fixture
def rows(ledger: Ledger) -> Callable[[], list[tuple[str, str, str, str | None, bytes, bool, bool]]]:
    """What is stored: source, id, event, signature, body, and whether a collection and an outcome are waited for."""

    def read() -> list[tuple[str, str, str, str | None, bytes, bool, bool]]:
        with ledger.read() as tx:
            return [
                (
                    *(row.source, row.delivery_id, row.event, row.signature, unpack(row.body, row.body_encoding)),
                    *(row.collected_at is None, row.applied_at is None),
                )
                for row in tx.execute(select(deliveries).order_by(deliveries.c.id))
            ]

    return read


def test_a_delivery_is_stored_as_it_came_for_a_collection_that_reads_it(
    client: TestClient, rows: Callable[[], list[tuple[object, ...]]]
) -> None:
    sent = sentry() | {"Content-Type": "application/cloudevents+json; charset=utf-8"}
    answer = client.post("/hooks/sentry", content=BODY, headers=sent)
    assert answer.status_code == 202, answer.text
    signature = sentry()["Sentry-Hook-Signature"]
    assert rows() == [("sentry", "r-1", "issue", signature, BODY, True, False)]


def test_a_rule_of_the_settings_filters_what_a_sender_delivers(
    client: TestClient, rules: list[DeliveryRule], rows: Callable[[], list[tuple[object, ...]]]
) -> None:
    rules.append(DeliveryRule("no-issues", sources=("sentry",), events=("issue",)))
    filtered = client.post("/hooks/sentry", content=BODY, headers=sentry())
    kept = client.post("/hooks/deploys", content=BODY, headers=standard())
    assert (filtered.json()["filtered_by"], kept.json()["filtered_by"]) == ("no-issues", None)
    assert [(source, is_read) for source, _, _, _, _, is_read, _ in rows()] == [("sentry", False), ("deploys", True)]
    rules.clear()
    assert client.post("/hooks/sentry", content=BODY, headers=sentry()).status_code == 200, "what was filtered is done"


def test_a_repetition_is_answered_and_does_nothing(
    client: TestClient, rows: Callable[[], list[tuple[object, ...]]]
) -> None:
    first = client.post("/hooks/deploys", content=BODY, headers=standard(ago_s=10))
    again = client.post("/hooks/deploys", content=BODY, headers=standard(key="the old one"))
    assert (first.status_code, again.status_code) == (202, 200)
    assert (again.json()["id"], again.json()["duplicate"]) == (first.json()["id"], True)
    assert len(rows()) == 1


def test_a_token_is_never_stored(client: TestClient, rows: Callable[[], list[tuple[object, ...]]]) -> None:
    answer = client.post("/hooks/ci", content=BODY, headers={**JSON, "Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 202
    ((_, delivery_id, event, signature, *_rest),) = rows()
    assert (str(delivery_id).partition(":")[0], event, signature) == ("sha256", "message", None)


@pytest.mark.parametrize(
    ("path", "headers", "status", "says"),
    [
        ("/hooks/nobody", sentry(), 404, "no sender of this name"),
        ("/hooks/sentry", JSON, 401, "Sentry-Hook-Signature is missing"),
        ("/hooks/sentry", sentry(b"other"), 401, "is not the hex HMAC-SHA256"),
        ("/hooks/sentry", {**sentry(), "Request-ID": "a b"}, 400, "Request-ID cannot be an id"),
        ("/hooks/sentry", {**sentry(), "Content-Type": "text/html"}, 415, "no JSON"),
        ("/hooks/sentry", {**sentry(), "Content-Encoding": "gzip"}, 415, "no JSON"),
        ("/hooks/deploys", standard(ago_s=1000), 401, "s behind our time"),
        ("/hooks/ci", {**JSON, "Authorization": "Bearer no"}, 401, "another token than ours"),
        ("/hooks/broken", {**JSON, "Authorization": "Bearer "}, 503, "cannot be read"),
    ],
)
def test_what_is_refused_is_told_why_and_not_stored(
    client: TestClient,
    rows: Callable[[], list[tuple[object, ...]]],
    path: str,
    headers: dict[str, str],
    *,
    status: int,
    says: str,
) -> None:
    answer = client.post(path, content=BODY, headers=headers)
    assert (answer.status_code, rows()) == (status, [])
    assert says in answer.json()["error"]
    assert answer.json()["hint"]
    assert ("retry-after" in answer.headers) is (status == 503)


def test_a_clock_that_is_off_is_told_what_to_do(client: TestClient) -> None:
    answer = client.post("/hooks/deploys", content=BODY, headers=standard(ago_s=-1000))
    assert answer.json()["hint"].startswith("set the clock")


def test_a_body_has_the_senders_own_bound_also_where_its_length_is_not_declared(client: TestClient) -> None:
    body = b'{"a": "' + b"a" * 2000 + b'"}'
    assert client.post("/hooks/deploys", content=body, headers=standard(body=body)).status_code == 413
    answer = client.post("/hooks/deploys", content=iter([body]), headers=standard(body=body))
    assert answer.status_code == 413
    assert "hooks.deploys.max_body" in answer.json()["hint"]


def test_a_sender_that_is_switched_off_is_unknown_at_once(client: TestClient, hooks: dict[str, LiveHook]) -> None:
    del hooks["sentry"]
    assert client.post("/hooks/sentry", content=BODY, headers=sentry()).status_code == 404


def test_refusals_are_counted_by_few_words_and_by_no_name_of_a_strangers(ledger: Ledger) -> None:
    app = create_app(
        ledger=ledger,
        secrets=lambda: SigningSecrets((SECRET,)),
        repositories=lambda: (),
        hooks=lambda: HOOKS,
        refusals_per_minute=lambda: 1000,
    )
    with TestClient(app) as client:
        for number in range(3):
            client.post(f"/hooks/name{number}", content=BODY, headers=JSON)
            client.post("/hooks/deploys", content=BODY, headers=standard(ago_s=1000 + number))
    with ledger.read() as tx:
        columns = delivery_refusals.c["source", "status", "reason", "count"]
        counts = {tuple(row) for row in tx.execute(select(*columns))}
    assert counts == {
        ("unknown", 404, "there is no sender of this name", 3),
        ("deploys", 401, "its time is too far from ours", 3),
    }
