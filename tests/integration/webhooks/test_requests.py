"""What comes with a delivery: paths, content types, signatures and their hints, floods, filters, failed ones again."""

import json
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from sqlalchemy import select, update
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from squire_pipelines.domain.delivery_filters import DeliveryRule
from squire_pipelines.github.protocol import sign
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.inbox import MAX_BATCH, IncomingDelivery, PackedDelivery, store
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import deliveries, delivery_refusals
from squire_pipelines.webhooks.filtering import NO_RULES
from squire_pipelines.webhooks.github_deliveries import verify_and_parse
from squire_pipelines.webhooks.signing_secrets import SigningSecrets
from tests.support.deliveries import SECRET, headers, push
from tests.support.github_schemas import schema_file

MakeClient = Callable[..., TestClient]
HOOK = "/webhooks/github"


def test_the_old_products_path_takes_deliveries_too(client: TestClient) -> None:
    body = push()
    assert client.post("/webhook", content=body, headers=headers(body)).status_code == 202


def test_a_form_is_taken_as_json_is_and_its_signature_is_that_of_the_form(client: TestClient) -> None:
    body = urlencode({"payload": push().decode()}).encode()
    sent = headers(body) | {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post(HOOK, content=body, headers=sent).json()["relevant"] is True
    assert client.post(HOOK, content=body, headers=sent | {"X-Hub-Signature-256": sign(push(), SECRET)}).is_error


@pytest.mark.parametrize(
    "changed",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": ""},
        {"Content-Type": "multipart/form-data"},
        {"Content-Encoding": "gzip"},
    ],
)
def test_other_content_types_are_refused(client: TestClient, changed: dict[str, str]) -> None:
    body = push()
    answer = client.post(HOOK, content=body, headers=headers(body) | changed)
    assert answer.status_code == 415
    assert "application/json" in answer.json()["hint"]
    typed = headers(body) | {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post(HOOK, content=body, headers=typed).status_code == 202


def test_the_hint_tells_which_signature_came(client: TestClient) -> None:
    body = push()
    unsigned = headers(body)
    del unsigned["X-Hub-Signature-256"]
    hints = [
        client.post(HOOK, content=body, headers=sent).json()["hint"]
        for sent in (unsigned, unsigned | {"X-Hub-Signature": "sha1=0"}, headers(body, secret=b"another"))
    ]
    assert [part in hint for part, hint in zip(("no secret at GitHub", "SHA-1", "another secret"), hints, strict=True)]


def test_a_repositorys_secret_signs_for_it_alone(make_client: MakeClient) -> None:
    client = make_client(secrets=SigningSecrets((SECRET,), {"acme/shop": (b"of the shop",)}))
    for repository, status in (("acme/shop", 202), ("acme/other", 401)):
        body = push(repository)
        sent = headers(body, secret=b"of the shop")
        assert client.post(HOOK, content=body, headers=sent).status_code == status
        assert client.post(HOOK, content=body, headers=headers(body, delivery="d-2")).status_code == 202


def test_without_verification_an_unsigned_delivery_is_taken(make_client: MakeClient) -> None:
    body = push()
    sent = headers(body)
    del sent["X-Hub-Signature-256"]
    client = make_client(secrets=SigningSecrets(verifies_nothing=True))
    assert client.post(HOOK, content=body, headers=sent).status_code == 202


def test_an_address_that_floods_gets_429_and_what_it_signs_rightly_is_taken(
    make_client: MakeClient, ledger: Ledger
) -> None:
    client = make_client(refusals_per_minute=2)
    body = push()
    wrong = headers(body, secret=b"another")
    unsigned = {"Content-Type": "application/json"}
    statuses = [client.post(HOOK, content=body, headers=sent).status_code for sent in (wrong, unsigned, wrong)]
    assert statuses == [401, 401, 429]
    flooding = client.post(HOOK, content=body, headers=unsigned)
    assert (flooding.status_code, int(flooding.headers["Retry-After"]) > 0) == (429, True)
    assert client.post(HOOK, content=body, headers=headers(body)).status_code == 202
    client.__exit__()
    with ledger.read() as tx:
        columns = (delivery_refusals.c[name] for name in ("source", "status", "count"))
        rows = [tuple(row) for row in tx.execute(select(*columns))]
    counts = {status: sum(row[2] for row in rows if row[:2] == ("github", status)) for status in (401, 429)}
    assert counts == {401: 2, 429: 2}


def test_what_the_receiver_cannot_take_is_not_counted_against_its_sender(make_client: MakeClient) -> None:
    client = make_client(refusals_per_minute=1, waiting=0)
    body = push()
    statuses = [client.post(HOOK, content=body, headers=headers(body)).status_code for _ in range(3)]
    assert statuses == [503, 503, 503]


def test_what_is_kept_of_a_delivery_is_who_sent_it_by_which_hook_and_its_signature(
    client: TestClient, ledger: Ledger
) -> None:
    body = json.dumps({"repository": {"full_name": "acme/shop"}, "sender": {"login": "ann"}}).encode()
    client.post(HOOK, content=body, headers=headers(body))
    with ledger.read() as tx:
        row = tx.execute(select(deliveries)).one()
    assert (row.sender, row.hook_id, row.signature, row.filtered_by) == ("ann", "1", sign(body, SECRET), None)


def test_what_a_rule_filters_is_stored_with_the_rule_and_closed(make_client: MakeClient, ledger: Ledger) -> None:
    client = make_client(judge=replace(NO_RULES, rules=(DeliveryRule("no-pushes", events=("push",)),)))
    body = push()
    answer = client.post(HOOK, content=body, headers=headers(body))
    assert (answer.status_code, answer.json()["filtered_by"]) == (202, "no-pushes")
    with ledger.read() as tx:
        row = tx.execute(select(deliveries)).one()
    assert row.filtered_by == "no-pushes"
    assert row.collected_at == row.applied_at == row.received_at


def test_a_push_to_a_branch_of_ours_is_applied_and_has_nothing_read(client: TestClient, ledger: Ledger) -> None:
    body = json.dumps({"ref": "refs/heads/squire/t1", "repository": {"full_name": "acme/shop"}}).encode()
    client.post(HOOK, content=body, headers=headers(body))
    with ledger.read() as tx:
        row = tx.execute(select(deliveries)).one()
    assert (row.filtered_by, row.collected_at, row.applied_at) == (None, row.received_at, None)


def test_the_echo_of_our_own_comment_is_stored_and_closed(client: TestClient, ledger: Ledger) -> None:
    comment = {"body": "<!-- squire comment -->\nDone."}
    data = {"action": "created", "repository": {"full_name": "acme/shop"}, "comment": comment}
    body = json.dumps(data).encode()
    client.post(HOOK, content=body, headers=headers(body, event="issue_comment"))
    with ledger.read() as tx:
        row = tx.execute(select(deliveries)).one()
    assert (row.filtered_by, row.collected_at, row.applied_at) == ("squire:own", row.received_at, row.received_at)


def test_a_redelivery_of_what_failed_is_read_again_and_of_what_is_done_is_not(
    client: TestClient, ledger: Ledger
) -> None:
    body = push()
    first = client.post(HOOK, content=body, headers=headers(body))
    done = {"collected_at": deliveries.c.received_at, "applied_at": deliveries.c.received_at}
    with ledger.write() as tx:
        tx.execute(update(deliveries).values(**done))
    assert client.post(HOOK, content=body, headers=headers(body)).status_code == 200
    with ledger.write() as tx:
        tx.execute(update(deliveries).values(error="it failed", tries=5))
    again = client.post(HOOK, content=body, headers=headers(body))
    assert (again.status_code, again.json()["again"], again.json()["id"]) == (202, True, first.json()["id"])
    with ledger.read() as tx:
        row = tx.execute(select(deliveries)).one()
        entries = audit_page(tx, action="delivery.accepted")
    assert (row.collected_at, row.applied_at, row.error, row.tries, row.replays) == (None, None, None, 0, 1)
    assert [entry.detail.get("again", False) for entry in entries] == [True, False]


def test_a_redelivery_of_what_failed_stays_closed_where_it_asks_for_nothing_any_more(
    make_client: MakeClient, ledger: Ledger
) -> None:
    body = push()
    make_client().post(HOOK, content=body, headers=headers(body))
    marks = {"collected_at": deliveries.c.received_at, "applied_at": deliveries.c.received_at, "error": "it failed"}
    with ledger.write() as tx:
        tx.execute(update(deliveries).values(marks))
    filtering = make_client(judge=replace(NO_RULES, rules=(DeliveryRule("no-pushes", events=("push",)),)))
    for client in (filtering, make_client(repositories=("acme/web",))):
        again = client.post(HOOK, content=body, headers=headers(body))
        assert (again.status_code, again.json()["again"]) == (200, False)
    with ledger.read() as tx:
        row = tx.execute(select(deliveries)).one()
    assert (row.error, row.replays) == ("it failed", 0)


def test_a_full_inbox_sends_new_ones_away_until_there_is_room(make_client: MakeClient, ledger: Ledger) -> None:
    client = make_client(most_waiting_bytes=10)
    first, second = push(number=1), push(number=2)
    assert client.post(HOOK, content=first, headers=headers(first)).status_code == 202
    answer = client.post(HOOK, content=second, headers=headers(second))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert "max_inbox" in answer.json()["error"]
    with ledger.read() as tx:
        assert tx.execute(select(deliveries)).one()


def test_a_large_body_is_read_by_a_thread(make_client: MakeClient) -> None:
    client = make_client(inline_body=10)
    body = push()
    assert client.post(HOOK, content=body, headers=headers(body)).status_code == 202
    assert client.post(HOOK, content=b"[" * 20, headers=headers(b"[" * 20)).status_code == 400


@pytest.mark.parametrize("event", ["x" * 100, "Some-New.Event2", "sub_issues"])
def test_every_event_name_that_github_may_have_is_kept(client: TestClient, event: str) -> None:
    body = push()
    assert client.post(HOOK, content=body, headers=headers(body, event=event)).status_code == 202


def test_every_example_that_github_publishes_is_accepted(ledger: Ledger) -> None:
    secrets = SigningSecrets((SECRET,))
    examples: list[PackedDelivery] = []
    for file in sorted(schema_file("webhooks-examples/api.github.com/index.json").parents[1].glob("*/index.json")):
        for group in json.loads(file.read_bytes()):
            for payload in group["examples"]:
                body = json.dumps(payload).encode()
                sent = headers(body, delivery=f"e-{len(examples)}", event=group["name"])
                _, named, parsed = verify_and_parse(Headers(sent), body, secrets)
                delivery = IncomingDelivery(
                    "github", named.delivery_id, named.event, parsed.action, parsed.repository, body
                )
                examples.append(PackedDelivery.of(delivery))
    batches = (examples[start : start + MAX_BATCH] for start in range(0, len(examples), MAX_BATCH))
    recorded = [row for batch in batches for row in store(ledger, batch)]
    assert len(recorded) > 300
    assert all(row.is_new for row in recorded)
