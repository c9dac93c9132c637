"""The three ways in which other senders sign, and what is refused with which words."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from squire_pipelines.domain.hook_schemes import (
    DEFAULT_EVENT,
    HmacScheme,
    HookRefusal,
    HookRefusalReason,
    HookScheme,
    SignedRequest,
    StandardScheme,
    TokenScheme,
    verify_request,
    verify_stored,
)
from squire_pipelines.domain.standard_webhooks import sign_message

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BODY = b'{"a": 1}'
DIGEST = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
SECRETS = ("the new secret", "the old secret")
HMAC = HmacScheme(header="X-Signature", id_header="X-Id", event_header="X-Event")


def mac(secret: str = SECRETS[0], body: bytes = BODY, algorithm: str = "sha256") -> bytes:
    return hmac.new(secret.encode(), body, algorithm).digest()


def judge(scheme: HookScheme, headers: dict[str, str]) -> SignedRequest | HookRefusal:
    return verify_request(scheme, {name.lower(): value for name, value in headers.items()}, BODY, SECRETS, NOW)


def refusal(scheme: HookScheme, headers: dict[str, str]) -> HookRefusal:
    verdict = judge(scheme, headers)
    assert isinstance(verdict, HookRefusal)
    return verdict


def standard(**changes: str) -> dict[str, str]:
    message_id, timestamp = changes.get("id", "msg_1"), changes.get("timestamp", str(int(NOW.timestamp())))
    signature = sign_message(SECRETS[0].encode(), message_id, timestamp, BODY)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": changes.get("signature", signature),
    }


def test_an_hmac_in_hex_with_id_and_event() -> None:
    verdict = judge(HMAC, {"X-Signature": mac().hex(), "X-Id": "d-1", "X-Event": "issue"})
    assert verdict == SignedRequest("d-1", "issue", mac().hex())


@pytest.mark.parametrize("algorithm", ["sha1", "sha384", "sha512"])
def test_other_algorithms_in_base64_after_a_prefix(algorithm: str) -> None:
    scheme = HmacScheme.model_validate(
        {"header": "X-Signature", "algorithm": algorithm, "encoding": "base64", "prefix": "v0="}
    )
    value = base64.b64encode(mac(algorithm=algorithm)).decode()
    assert judge(scheme, {"X-Signature": f"v0={value}"}) == SignedRequest(DIGEST, DEFAULT_EVENT, f"v0={value}")
    assert refusal(scheme, {"X-Signature": value}).reason is HookRefusalReason.FORGED


def test_each_of_several_secrets_signs_while_one_is_changed_for_another() -> None:
    for secret in SECRETS:
        assert isinstance(judge(HMAC, {"X-Signature": mac(secret).hex()}), SignedRequest)
        assert isinstance(judge(TokenScheme(), {"Authorization": f"Bearer {secret}"}), SignedRequest)
    assert refusal(HMAC, {"X-Signature": mac("a third").hex()}).hint == "is the secret the same on both sides?"


@pytest.mark.parametrize(
    "value", ["zz", "abc", "", "é", mac(body=b"other").hex(), mac().hex() + "00", mac().hex()[:-2]]
)
def test_what_is_no_hmac_of_the_body_is_refused(value: str) -> None:
    expected = HookRefusalReason.FORGED if value else HookRefusalReason.UNSIGNED
    assert refusal(HMAC, {"X-Signature": value}).reason is expected


def test_a_missing_header_is_named_with_those_that_came() -> None:
    verdict = refusal(HMAC, {"X-Hub-Signature-256": "sha256=1", "Accept": "*/*"})
    assert verdict.message == "X-Signature is missing"
    assert "these came: x-hub-signature-256;" in verdict.hint
    assert "accept" not in verdict.hint
    assert "no header came" in refusal(HMAC, {}).hint


@pytest.mark.parametrize("headers", [{"X-Id": "a b"}, {"X-Id": "a" * 101}, {"X-Event": "a\x1b"}, {"X-Event": "é"}])
def test_an_id_or_event_that_cannot_be_one_is_refused(headers: dict[str, str]) -> None:
    assert refusal(HMAC, {"X-Signature": mac().hex(), **headers}).reason is HookRefusalReason.UNNAMED


def test_a_token_is_bearer_by_default_or_in_a_header_of_its_own_and_never_kept() -> None:
    assert judge(TokenScheme(), {"Authorization": "Bearer the new secret"}) == SignedRequest(
        DIGEST, DEFAULT_EVENT, None
    )
    own = TokenScheme(header="X-Gitlab-Token", prefix="", id_header="X-Id", event_header="X-Event")
    verdict = judge(own, {"X-Gitlab-Token": "the old secret", "X-Id": "7", "X-Event": "push"})
    assert verdict == SignedRequest("7", "push", None)
    for value in ("the new secret", "Bearer ", "Bearer the new secret ", "bearer the new secret", "Bearer é\udc80"):
        assert refusal(TokenScheme(), {"Authorization": value}).reason is HookRefusalReason.FORGED
    assert refusal(TokenScheme(), {}).message == "Authorization is missing"


def test_a_message_as_standard_webhooks_has_it() -> None:
    verdict = judge(StandardScheme(), standard())
    assert isinstance(verdict, SignedRequest)
    assert (verdict.delivery_id, verdict.event) == ("msg_1", DEFAULT_EVENT)
    with_event = StandardScheme(event_header="X-Event")
    assert isinstance(judge(with_event, standard() | {"X-Event": "a b"}), HookRefusal)


@pytest.mark.parametrize(("late_s", "says"), [(301, "301 s behind our time"), (-301, "301 s ahead of our time")])
def test_a_clock_that_is_off_is_told_by_how_much(late_s: int, says: str) -> None:
    moment = str(int((NOW - timedelta(seconds=late_s)).timestamp()))
    verdict = refusal(StandardScheme(), standard(timestamp=moment))
    assert verdict.reason is HookRefusalReason.LATE
    assert f"webhook-timestamp is {says}" in verdict.message
    assert "300 s are permitted" in verdict.message
    assert "clock" in verdict.hint
    assert isinstance(judge(StandardScheme(tolerance_s=400), standard(timestamp=moment)), SignedRequest)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"signature": "v1,AAAA"}, HookRefusalReason.FORGED),
        ({"signature": ""}, HookRefusalReason.UNSIGNED),
        ({"id": ""}, HookRefusalReason.UNSIGNED),
        ({"id": "a.b"}, HookRefusalReason.UNNAMED),
        ({"timestamp": "1e9"}, HookRefusalReason.UNNAMED),
        ({"timestamp": "9" * 13}, HookRefusalReason.UNNAMED),
        ({"timestamp": "٣"}, HookRefusalReason.UNNAMED),
    ],
)
def test_messages_that_are_none(changes: dict[str, str], reason: HookRefusalReason) -> None:
    assert refusal(StandardScheme(), standard(**changes)).reason is reason


@pytest.mark.parametrize(("scheme", "headers"), [(HMAC, {"X-Signature": mac().hex()}), (StandardScheme(), standard())])
def test_what_is_stored_is_verified_again_whatever_the_time(scheme: HookScheme, headers: dict[str, str]) -> None:
    verdict = judge(scheme, headers)
    assert isinstance(verdict, SignedRequest)
    stored = (verdict.delivery_id, verdict.signature)
    assert verify_stored(scheme, *stored, BODY, SECRETS) is True
    assert verify_stored(scheme, *stored, BODY + b" ", SECRETS) is False
    assert verify_stored(scheme, *stored, BODY, ["another"]) is False
    assert verify_stored(scheme, verdict.delivery_id, None, BODY, SECRETS) is None
    assert verify_stored(TokenScheme(), *stored, BODY, SECRETS) is None


def test_many_signatures_are_verified_and_not_kept() -> None:
    headers = standard()
    headers["webhook-signature"] = f"{'v1,AAAA ' * 19}{headers['webhook-signature']}"
    verdict = judge(StandardScheme(), headers)
    assert isinstance(verdict, SignedRequest)
    assert verdict.signature is None


@pytest.mark.parametrize("header", ["", "X Signature", "X-Signature\n", "é"])
def test_a_header_has_a_name_of_http(header: str) -> None:
    with pytest.raises(ValidationError):
        HmacScheme(header=header)
