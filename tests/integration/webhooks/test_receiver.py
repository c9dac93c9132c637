"""The receiver's application on a real SQLite ledger."""

import asyncio
import io
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text
from starlette.testclient import TestClient

from squire_pipelines.domain.looks import KnownRepository
from squire_pipelines.errors import SecretMissingError
from squire_pipelines.ledger import repositories
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import delivery_refusals
from squire_pipelines.webhooks.limits import Limits
from squire_pipelines.webhooks.receiver import create_app
from squire_pipelines.webhooks.signing_secrets import SigningSecrets
from tests.support.deliveries import SECRET, headers, push
from tests.support.logs import lines

Stored = Callable[[], list[tuple[str, str, str | None, bytes, bool]]]
MakeClient = Callable[..., TestClient]
HOOK = "/webhooks/github"


def test_signed_delivery_is_stored_whole_before_it_is_acknowledged(client: TestClient, stored: Stored) -> None:
    body = push()
    answer = client.post(HOOK, content=body, headers=headers(body))
    assert answer.status_code == 202
    assert answer.json()["duplicate"] is False
    assert answer.json()["relevant"] is True
    assert len(answer.json()["trace_id"]) == 32
    assert stored() == [("d-1", "push", "acme/shop", body, True)]


def test_redelivery_is_known_and_stored_once(client: TestClient, stored: Stored) -> None:
    body = push()
    first = client.post(HOOK, content=body, headers=headers(body))
    again = client.post(HOOK, content=body, headers=headers(body))
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["duplicate"] is True
    assert again.json()["trace_id"] == first.json()["trace_id"]
    assert len(stored()) == 1


def test_same_id_with_another_body_is_another_delivery(client: TestClient, stored: Stored) -> None:
    for number in (1, 2):
        body = push(number=number)
        assert client.post(HOOK, content=body, headers=headers(body)).status_code == 202
    assert len(stored()) == 2


@pytest.mark.parametrize(
    "signature",
    [None, "", "sha256=" + "0" * 64, "sha1=" + "0" * 40, "ü"],
    ids=["missing", "empty", "wrong", "sha1", "not ascii"],
)
def test_delivery_without_the_right_signature_is_refused(
    client: TestClient, stored: Stored, signature: str | None
) -> None:
    body = push()
    sent = headers(body)
    del sent["X-Hub-Signature-256"]
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    if signature is not None:
        raw.append((b"x-hub-signature-256", signature.encode("latin-1")))
    answer = client.post(HOOK, content=body, headers=raw)
    assert answer.status_code == 401
    assert "secret" in answer.json()["hint"]
    assert stored() == []


def test_body_is_not_parsed_before_its_signature_is_checked(client: TestClient) -> None:
    for body in (b"no json", b"[" * 100_000):
        sent = {**headers(body), "X-Hub-Signature-256": "sha256=" + "0" * 64}
        assert client.post(HOOK, content=body, headers=sent).status_code == 401


def test_signature_of_another_secret_is_refused(client: TestClient, stored: Stored) -> None:
    body = push()
    assert client.post(HOOK, content=body, headers=headers(body, secret=b"other")).status_code == 401
    assert stored() == []


def test_body_that_says_it_is_too_large_is_not_read(make_client: MakeClient) -> None:
    client = make_client(body=100)
    body = b"x" * 101
    assert client.post(HOOK, content=body, headers=headers(body)).status_code == 413


def test_body_of_unknown_length_is_cut_off_at_the_limit(make_client: MakeClient, stored: Stored) -> None:
    client = make_client(body=100)

    def endless() -> Iterator[bytes]:
        for _ in range(10):
            yield b"x" * 50

    assert client.post(HOOK, content=endless(), headers=headers(b"")).status_code == 413
    body = push()[:90]
    assert client.post(HOOK, content=iter([body]), headers=headers(body)).status_code == 400  # read, and no JSON
    assert stored() == []


def test_length_that_is_no_number_does_not_hurt(client: TestClient) -> None:
    body = push()
    sent = headers(body) | {"Content-Length": "9" * 5000}
    assert client.post(HOOK, content=body, headers=sent).status_code == 202


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b'{"repository": 5}', b"[" * 100_000])
def test_body_that_github_would_not_send_is_refused(client: TestClient, stored: Stored, body: bytes) -> None:
    answer = client.post(HOOK, content=body, headers=headers(body))
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert stored() == []


@pytest.mark.parametrize("name", ["X-GitHub-Event", "X-GitHub-Delivery"])
def test_delivery_without_its_headers_is_refused(client: TestClient, stored: Stored, name: str) -> None:
    body = push()
    sent = headers(body)
    del sent[name]
    answer = client.post(HOOK, content=body, headers=sent)
    assert answer.status_code == 400
    assert name in answer.json()["error"]
    assert stored() == []


@pytest.mark.parametrize(("delivery", "event"), [("x" * 101, "push"), ("a b", "push"), ("d-1", "Push<script>")])
def test_unsigned_headers_may_not_hold_just_anything(
    client: TestClient, stored: Stored, delivery: str, event: str
) -> None:
    body = push()
    answer = client.post(HOOK, content=body, headers=headers(body, delivery=delivery, event=event))
    assert answer.status_code == 400
    assert stored() == []


@pytest.mark.parametrize(
    ("event", "fields"),
    [("ping", {}), ("installation", {"action": "suspend", "installation": {"account": {"login": "acme"}}})],
)
def test_what_is_about_the_app_is_kept_for_its_effect_though_it_names_no_repository(
    client: TestClient, stored: Stored, event: str, fields: dict[str, object]
) -> None:
    body = json.dumps(fields).encode()
    assert client.post(HOOK, content=body, headers=headers(body, event=event)).json()["relevant"] is True
    assert stored() == [("d-1", event, None, body, True)]


@pytest.mark.parametrize("event", ["sponsorship", "a_new_one"])
def test_event_that_we_do_not_know_is_kept_as_irrelevant(client: TestClient, stored: Stored, event: str) -> None:
    body = b'{"zen": "Keep it logically awesome.", "action": "' + b"x" * 300 + b'"}'
    answer = client.post(HOOK, content=body, headers=headers(body, event=event))
    assert answer.status_code == 202
    assert answer.json()["relevant"] is False
    assert stored() == [("d-1", event, None, body, False)]


def test_repository_that_is_not_in_the_settings_is_kept_as_irrelevant(client: TestClient, stored: Stored) -> None:
    body = push("else/where")
    answer = client.post(HOOK, content=body, headers=headers(body))
    assert (answer.status_code, answer.json()["relevant"]) == (202, False)
    assert stored() == [("d-1", "push", "else/where", body, False)]


def test_repository_is_known_in_any_case_and_stored_as_the_settings_spell_it(
    client: TestClient, stored: Stored
) -> None:
    body = push("ACME/Shop")
    assert client.post(HOOK, content=body, headers=headers(body)).json()["relevant"] is True
    assert stored() == [("d-1", "push", "acme/shop", body, True)]


def test_repositories_are_asked_for_at_each_delivery(ledger: Ledger) -> None:
    watched: list[str] = []
    app = create_app(ledger=ledger, secrets=lambda: SigningSecrets((SECRET,)), repositories=lambda: watched)
    body = push()
    with TestClient(app) as client:
        assert client.post(HOOK, content=body, headers=headers(body)).json()["relevant"] is False
        watched.append("acme/shop")
        answer = client.post(HOOK, content=body, headers=headers(body, delivery="d-2"))
    assert answer.json()["relevant"] is True


def test_ledger_that_fails_is_never_acknowledged(client: TestClient, ledger: Ledger, stored: Stored) -> None:
    body = push()
    with ledger.write() as tx:
        tx.execute(text("ALTER TABLE deliveries RENAME TO away"))
    answer = client.post(HOOK, content=body, headers=headers(body))
    assert answer.status_code == 503
    assert "again" in answer.json()["hint"]
    with ledger.write() as tx:
        tx.execute(text("ALTER TABLE away RENAME TO deliveries"))
    assert client.post(HOOK, content=body, headers=headers(body)).status_code == 202
    assert len(stored()) == 1


def test_every_line_about_a_delivery_names_it(client: TestClient, ledger: Ledger, stream: io.StringIO) -> None:
    body = push()
    answer = client.post(HOOK, content=body, headers=headers(body, delivery="d-1")).json()
    with ledger.write() as tx:
        tx.execute(text("DROP TABLE deliveries"))
    client.post(HOOK, content=body, headers=headers(body, delivery="d-2"))
    about = [line for line in lines(stream) if "delivery_id" in line]
    named = [(line["event"], line["delivery_id"], line.get("trace_id")) for line in about]
    assert named == [("delivery stored", "d-1", answer["trace_id"]), ("the ledger failed", "d-2", None)]


def test_row_that_the_ledger_refuses_is_never_acknowledged(client: TestClient, ledger: Ledger) -> None:
    body = push()
    with ledger.write() as tx:
        tx.execute(
            text("CREATE TRIGGER no BEFORE INSERT ON deliveries BEGIN SELECT RAISE(ABORT, 'no such thing'); END")
        )
    assert client.post(HOOK, content=body, headers=headers(body)).status_code == 503


@pytest.mark.parametrize("bound", ["ledger_timeout_s", "answer_timeout_s"])
def test_ledger_that_is_slow_is_never_acknowledged_and_nothing_is_stored_twice(
    make_client: MakeClient, ledger_path: Path, stored: Stored, bound: str
) -> None:
    client = make_client(**{bound: 0.2})
    body = push()
    with closing(sqlite3.connect(ledger_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = client.post(HOOK, content=body, headers=headers(body))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        step = "the ledger did not answer" if bound == "ledger_timeout_s" else "the delivery was not read and stored"
        assert answer.json()["error"] == f"{step} within 0.2 s"
        other.execute("ROLLBACK")
    # Whether the call that we gave up is committed by now or not: the redelivery ends in one row.
    statuses = {client.post(HOOK, content=body, headers=headers(body)).status_code for _ in range(3)}
    assert statuses <= {200, 202, 503}
    assert client.post(HOOK, content=body, headers=headers(body)).status_code == 200
    assert len(stored()) == 1


def test_more_deliveries_than_may_wait_are_sent_away(make_client: MakeClient, stored: Stored) -> None:
    body = push()
    assert make_client(waiting=0).post(HOOK, content=body, headers=headers(body)).status_code == 503
    assert make_client(buffered=10).post(HOOK, content=body, headers=headers(body)).status_code == 503
    assert stored() == []


def test_buffer_is_given_back_after_each_request(make_client: MakeClient) -> None:
    body = push()
    client = make_client(buffered=len(body))
    for number in range(3):
        answer = client.post(HOOK, content=body, headers=headers(body, delivery=f"d-{number}"))
        assert answer.status_code == 202


def test_body_that_does_not_arrive_is_not_waited_for(ledger: Ledger) -> None:
    app = create_app(
        ledger=ledger, secrets=lambda: SigningSecrets((SECRET,)), repositories=tuple, limits=Limits(body_timeout_s=0.05)
    )

    async def never_ending() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async def post() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://receiver") as client:
            return (await client.post(HOOK, content=never_ending(), headers=headers(b""))).status_code

    assert asyncio.run(post()) == 408


def test_caller_that_hangs_up_leaves_nothing(ledger: Ledger, stored: Stored) -> None:
    app = create_app(ledger=ledger, secrets=lambda: SigningSecrets((SECRET,)), repositories=tuple)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": HOOK, "query_string": b"", "headers": []}
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 400
    assert stored() == []


def test_a_body_that_takes_too_long_to_read_is_not_laid_at_the_ledgers_door(make_client: MakeClient) -> None:
    body = push()
    answer = make_client(inline_body=0, ledger_timeout_s=0).post(HOOK, content=body, headers=headers(body))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["error"] == "the body could not be verified and read within 0 s"


def test_a_wrong_path_or_method_is_answered_with_the_right_one_counted_and_logged_now_and_then(
    make_client: MakeClient, ledger: Ledger, stream: io.StringIO
) -> None:
    client = make_client()
    body = push()
    # GitHub follows no redirection, so that none is given.
    paths = ("/", "/webhooks", f"{HOOK}/", "/hooks", "/webhooks/other")
    answers = [client.post(path, content=body, headers=headers(body)) for path in paths]
    answers += [client.get(HOOK), client.get("/favicon.ico")]
    assert [answer.status_code for answer in answers] == [404] * 5 + [405, 404]
    assert {answer.json()["error"] for answer in answers[:5]} == {"there is nothing at this path"}
    assert all("at /webhooks/github, those of other senders at /hooks/NAME:" in one.json()["hint"] for one in answers)
    assert answers[5].headers["allow"] == "POST"
    client.__exit__()
    logged = [(line["method"], line["path"]) for line in lines(stream) if line["event"] == "request refused"]
    assert logged == [("POST", "/"), ("POST", "/webhooks"), ("POST", "/hooks"), ("GET", HOOK), ("GET", "/favicon.ico")]
    with ledger.read() as tx:
        columns = delivery_refusals.c["source", "status", "count"]
        counted = Counter[tuple[str, int]]()
        for source, status, count in tx.execute(select(*columns)):
            counted[source, status] += count
    assert counted == {("unknown", 404): 6, ("unknown", 405): 1}


def test_process_is_healthy_and_ready_when_the_ledger_answers(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"ok": True}
    assert client.get("/readyz").status_code == 200


def test_process_is_not_ready_while_the_ledger_answers_and_stores_nothing(client: TestClient, ledger: Ledger) -> None:
    body = push()

    def deliver() -> int:
        return client.post(HOOK, content=body, headers=headers(body)).status_code

    def rename(before: str, after: str) -> None:
        with ledger.write() as tx:
            tx.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))

    rename("deliveries", "gone")
    assert deliver() == 503
    refused = client.get("/readyz")
    assert (refused.status_code, refused.json()["reason"]) == (503, "the ledger cannot be written: the log says why")
    rename("gone", "deliveries")
    assert deliver() == 202
    assert client.get("/readyz").json() == {"ready": True}


def test_process_is_not_ready_but_healthy_when_the_ledger_does_not_answer(
    client: TestClient, ledger: Ledger, ledger_path: Path
) -> None:
    ledger.close()
    for path in ledger_path.parent.glob("ledger.sqlite*"):
        path.unlink()
    ledger_path.write_bytes(b"this is no database" * 100)
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def test_process_is_not_ready_on_a_schema_that_is_not_ours(client: TestClient, ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "schema" in answer.json()["reason"]


def test_receiver_without_a_secret_is_none(ledger: Ledger) -> None:
    with pytest.raises(SecretMissingError) as caught:
        create_app(ledger=ledger, secrets=SigningSecrets, repositories=tuple)
    assert "SQUIRE_WEBHOOK_SECRET" in caught.value.hint


@pytest.mark.parametrize("action", ["renamed", "transferred"])
def test_a_renamed_repository_is_known_by_its_id(
    client: TestClient, ledger: Ledger, stored: Stored, action: str
) -> None:
    content = {"action": action, "repository": {"id": 42, "full_name": "new-owner/store"}}
    body = json.dumps(content).encode()
    unknown = client.post(HOOK, content=body, headers=headers(body, event="repository"))
    assert unknown.json()["relevant"] is False
    with ledger.write() as tx:
        repositories.record(tx, [KnownRepository("acme/shop", 42), KnownRepository("acme/gone", 43)])
    known = client.post(HOOK, content=body, headers=headers(body, event="repository", delivery="d-2"))
    assert known.json()["relevant"] is True
    assert stored()[-1][:3] == ("d-2", "repository", "acme/shop")
    other = json.dumps({**content, "repository": {"id": 43, "full_name": "new-owner/gone"}}).encode()
    answer = client.post(HOOK, content=other, headers=headers(other, event="repository", delivery="d-3"))
    assert answer.json()["relevant"] is False  # the settings do not name it any more


def test_a_repository_that_is_renamed_keeps_the_secret_of_its_own(
    make_client: MakeClient, ledger: Ledger, stored: Stored
) -> None:
    names = ("acme/shop", "acme/api")
    client = make_client(repositories=names, secrets=SigningSecrets(by_repository={"acme/shop": (SECRET,)}))
    with ledger.write() as tx:
        repositories.record(tx, [KnownRepository("acme/shop", 42), KnownRepository("acme/api", 43)])

    def deliver(number: int, github_id: int, name: str) -> int:
        content = {"action": "renamed", "repository": {"id": github_id, "full_name": name}}
        body = json.dumps(content).encode()
        sent = headers(body, event="repository", delivery=f"d-{number}")
        return client.post(HOOK, content=body, headers=sent).status_code

    assert deliver(1, 42, "acme/store") == 202
    # By its name it would be another's, of whose secret nothing is known here.
    assert deliver(2, 42, "acme/api") == 202
    assert {row[2] for row in stored()} == {"acme/shop"}
    assert [deliver(3, 43, "acme/other"), deliver(4, 43, "acme/api"), deliver(5, 44, "acme/new")] == [401] * 3


def test_the_secret_of_a_repository_signs_nothing_about_the_app_or_by_the_id_of_another(
    make_client: MakeClient, ledger: Ledger, stored: Stored
) -> None:
    # The settings have left acme/old out, of which there is a secret still.
    secrets = SigningSecrets((b"of all",), {"acme/shop": (SECRET,), "acme/old": (SECRET,)})
    client = make_client(repositories=("acme/shop", "acme/api"), secrets=secrets)
    with ledger.write() as tx:
        repositories.record(tx, [KnownRepository("acme/shop", 42), KnownRepository("acme/api", 43)])
    shop, old = {"full_name": "acme/shop", "id": 42}, {"full_name": "acme/old", "id": 43}
    removed = {"action": "deleted", "installation": {"account": {"login": "acme"}}, "repository": shop}

    def answer(event: str, content: Mapping[str, object], secret: bytes = SECRET) -> int:
        body = json.dumps(content).encode()
        return client.post(HOOK, content=body, headers=headers(body, event=event, secret=secret)).status_code

    assert answer("installation", removed) == 401
    assert answer("push", {"repository": old, "ref": "refs/heads/main"}) == 401
    assert stored() == []
    assert answer("installation", removed, b"of all") == 202


def test_accepted_deliveries_and_counts_of_refusals_are_in_the_audit_trail(
    make_client: MakeClient, ledger: Ledger
) -> None:
    client = make_client(refusals_every_s=0.02)
    body = push()
    for _ in range(2):
        client.post(HOOK, content=body, headers=headers(body))
    for _ in range(20):
        client.post(HOOK, content=body, headers={**headers(body), "X-Hub-Signature-256": "sha256=" + "0" * 64})
    client.post(HOOK, content=body, headers={**headers(body), "X-GitHub-Delivery": "no id"})
    client.__exit__()  # what is not recorded yet is recorded at the end
    with ledger.read() as tx:
        (accepted,) = audit_page(tx, action="delivery.accepted")
        refused = audit_page(tx, action="delivery.refused")
    assert (accepted.subject, accepted.detail["repository"], accepted.actor) == ("d-1", "acme/shop", "webhook:github")
    assert sum(entry.detail["count"] for entry in refused if entry.subject == "401") == 20
    assert sum(entry.detail["count"] for entry in refused if entry.subject == "400") == 1
