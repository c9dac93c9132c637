"""The targets: what our webhook posts and how it is signed, and Apprise in a process of its own."""

import json
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

import pytest

from squire_pipelines.alerting.target import MAX_ORDER_BYTES, apprise_order, send_by_apprise, targets_of
from squire_pipelines.alerting.webhook import WebhookTarget, signing_key
from squire_pipelines.domain.alert_texts import AlertMessage
from squire_pipelines.domain.standard_webhooks import sign_message
from squire_pipelines.errors import ConfigError, NotReachableError, SecretMissingError
from squire_pipelines.secrets.secret import Secret
from tests.integration.alerting.conftest import Configure
from tests.support.provider import DirectedProvider, plain

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MESSAGE = AlertMessage("Squire: critical: engine_lost", "body <b>é</b>", ({"key": "engine_lost:e"},))


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    key = signing_key(Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    made = sign_message(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_key_that_is_cut_is_refused_without_being_repeated() -> None:
    with pytest.raises(ConfigError, match="no base64") as refused:
        signing_key(Secret("whsec_%%%"))
    assert "%%%" not in str(refused.value)


def test_what_is_posted_has_a_text_the_alerts_and_a_signature(receiver: DirectedProvider) -> None:
    WebhookTarget(receiver.url, Secret("k" * 20)).send("msg_1", MESSAGE, at=AT)
    (request,) = receiver.seen
    content = json.loads(request.body)
    assert content["text"] == "Squire: critical: engine_lost\nbody <b>é</b>"
    assert (content["id"], content["alerts"]) == ("msg_1", [{"key": "engine_lost:e"}])
    at = int(AT.timestamp())
    headers = {name: request.headers[name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at),
        "webhook-signature": sign_message(b"k" * 20, "msg_1", at, request.body),
    }


def test_without_a_key_nothing_is_signed(receiver: DirectedProvider) -> None:
    WebhookTarget(receiver.url, None).send("msg_1", MESSAGE, at=AT)
    assert "webhook-signature" not in receiver.seen[0].headers


def test_a_host_that_is_no_name_is_a_failed_try() -> None:
    with pytest.raises(NotReachableError, match="webhook_url: "):
        WebhookTarget("https://xn--/x", None).send("msg_1", MESSAGE, at=AT)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_receiver_that_does_not_take_it_is_named_without_its_url(receiver: DirectedProvider, status: int) -> None:
    receiver.answer = plain(status, {}, {"location": f"{receiver.url}/other"})
    with pytest.raises(NotReachableError, match=f"webhook_url: {status}") as refused:
        WebhookTarget(f"{receiver.url}?token=abc123", None).send("msg_1", MESSAGE, at=AT)
    assert "abc123" not in str(refused.value)
    assert len(receiver.seen) == 1


def test_a_receiver_whose_answer_trickles_is_left_when_the_time_is_over(receiver: DirectedProvider) -> None:
    is_over = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nx: ")
        while not is_over.wait(0.02):
            handler.wfile.write(b"a")

    receiver.answer = trickle
    try:
        with pytest.raises(NotReachableError, match=r"webhook_url: no answer within 0\.3 s"):
            WebhookTarget(receiver.url, None, timeout_s=0.3).send("msg_1", MESSAGE, at=AT)
    finally:
        is_over.set()


def test_a_target_without_its_secret_says_which_one_it_needs(configure: Configure) -> None:
    settings = configure('[alerts]\napprise = ["ops"]\n[secrets]\nkeychain_timeout_s = 1\n')
    assert settings.named_secrets[-1] == "alert-ops-token"
    (target,) = targets_of(settings)
    with pytest.raises(SecretMissingError, match="alert-ops-token"):
        target.send("msg_1", MESSAGE, False)  # noqa: FBT003 - the type's signature


@pytest.mark.slow
def test_apprise_sends_in_a_process_of_its_own_and_says_that_it_may_be_a_repetition(
    configure: Configure, receiver: DirectedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_ALERT_OPS_TOKEN", receiver.url.replace("http://", "json://"))
    settings = configure('[alerts]\napprise = ["ops"]\n')
    (target,) = targets_of(settings)
    target.send("msg_1", MESSAGE, True)  # noqa: FBT003 - the type's signature
    content = json.loads(receiver.seen[0].body)
    assert content["title"] == MESSAGE.title
    assert content["message"].splitlines() == [
        "body <b>é</b>",
        "This may be a repetition: it is not known whether an earlier try has arrived.",
    ]


@pytest.mark.slow
def test_apprise_says_what_was_refused_and_what_is_no_url_of_its_own(receiver: DirectedProvider) -> None:
    receiver.answer = plain(500, {})
    url = Secret(receiver.url.replace("http://", "json://") + "?retry=0")
    with pytest.raises(NotReachableError, match="could not be delivered to ops: refused"):
        send_by_apprise("ops", url, MESSAGE, is_repeated=False)
    with pytest.raises(ConfigError, match="does not know the URL in the secret alert-ops-token"):
        send_by_apprise("ops", Secret("nonsense-abcdef"), MESSAGE, is_repeated=False)
    with pytest.raises(NotReachableError, match="no answer within 0 s"):
        send_by_apprise("ops", url, MESSAGE, is_repeated=False, timeout_s=0.05)


def test_a_message_of_many_long_alerts_is_cut_so_that_apprise_can_read_it() -> None:
    short = json.loads(apprise_order(Secret("json://127.0.0.1"), "title", "äöü\n€"))
    assert (short["title"], short["body"]) == ("title", "äöü\n€")
    for sign in ("\N{CYRILLIC SMALL LETTER YA}", "\N{PARTY POPPER}", '"', "\n"):
        order = apprise_order(Secret("json://127.0.0.1"), "title", sign * 40_000)
        body = json.loads(order)["body"]
        assert len(order) <= MAX_ORDER_BYTES
        assert body.startswith(sign * 100)
        assert body.endswith("shows all)")


def test_without_apprise_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError, match="not installed") as refused:
        send_by_apprise("ops", Secret("json://127.0.0.1"), MESSAGE, is_repeated=False)
    assert "squire-pipelines[alerts]" in refused.value.hint
