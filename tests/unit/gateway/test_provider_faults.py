"""Which errors of a provider only the user can change, by what providers answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.gateway.provider_faults import error_code, user_fault

DAILY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
GOOGLE_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
GOOGLE_DAY = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": DAILY}]}
USERS: dict[str, tuple[int, dict[str, object], str]] = {
    "OpenAI, a wrong key": (401, {"type": "invalid_request_error", "code": "invalid_api_key"}, "key"),
    "OpenAI, no quota": (429, {"type": "insufficient_quota", "code": "insufficient_quota"}, "quota"),
    "OpenAI, an unknown model": (404, {"type": "invalid_request_error", "code": "model_not_found"}, "model"),
    "OpenAI, a country": (403, {"code": "unsupported_country_region_territory"}, "key"),
    "Anthropic, a wrong key": (401, {"type": "authentication_error"}, "key"),
    "Anthropic, not allowed": (403, {"type": "permission_error"}, "key"),
    "Anthropic, an unknown model": (404, {"type": "not_found_error", "message": "model: x"}, "model"),
    "Anthropic, no money": (
        400,
        {"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API."},
        "quota",
    ),
    "Anthropic, billing": (402, {"type": "billing_error"}, "quota"),
    "Google, a wrong key": (400, {"code": 400, "status": "INVALID_ARGUMENT", "details": [GOOGLE_KEY]}, "key"),
    "Google, not allowed": (403, {"code": 403, "status": "PERMISSION_DENIED"}, "key"),
    "Google, an unknown model": (404, {"code": 404, "status": "NOT_FOUND"}, "model"),
    "Google, the day's quota": (429, {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [GOOGLE_DAY]}, "quota"),
    "another address": (308, {}, "address"),
}
PASSING: dict[str, tuple[int, dict[str, object]]] = {
    "too many requests": (429, {"type": "rate_limit_error", "code": "rate_limit_exceeded"}),
    "Google, too many requests": (429, {"code": 429, "status": "RESOURCE_EXHAUSTED"}),
    "overloaded": (529, {"type": "overloaded_error"}),
    "a server's error": (500, {"type": "server_error"}),
    "a conversation that is too long": (400, {"code": "context_length_exceeded"}),
    "a request that is too large": (413, {"type": "request_too_large"}),
}


@pytest.mark.parametrize("case", USERS)
def test_an_error_that_only_the_user_can_change_says_what_to_do(case: str) -> None:
    status, error, kind = USERS[case]
    fault = user_fault(status, json.dumps({"error": error}).encode(), model="small", is_free=False)
    assert fault is not None
    assert fault.kind == kind
    assert str(status) in fault.message
    assert any(verb in fault.message for verb in ("Set ", "Raise ", "Correct "))


@pytest.mark.parametrize("case", PASSING)
def test_an_error_that_may_pass_or_is_the_requests_own_is_no_fault_of_the_user(case: str) -> None:
    status, error = PASSING[case]
    assert user_fault(status, json.dumps({"error": error}).encode(), model="small", is_free=False) is None


def test_what_a_provider_does_not_serve_beside_answers_is_no_fault() -> None:
    for status in (402, 403, 404):
        assert user_fault(status, b"{}", model=None, is_free=True) is None
    wrong_key = user_fault(401, b"", model=None, is_free=True)
    assert wrong_key is not None
    assert wrong_key.kind == "key"


def test_the_most_telling_name_of_an_error_is_its_code() -> None:
    google = {"code": 400, "status": "INVALID_ARGUMENT", "details": [{}, GOOGLE_KEY]}
    assert error_code(json.dumps([{"error": google}]).encode()) == "API_KEY_INVALID"
    assert error_code(b'{"error": {"type": "overloaded_error"}}') == "overloaded_error"
    assert error_code(b'{"error": {"code": "a\\u001b[31m' + b"b" * 90 + b'"}}') == ("a??31m" + "b" * 60)[:60]
    for nothing in (b"", b"<html>", b"[]", b'{"error": "no"}', b"[" * 100_000):
        assert error_code(nothing) is None


@given(status=st.integers(300, 599), body=st.binary(max_size=200), is_free=st.booleans())
def test_whatever_a_provider_answers_is_judged(status: int, body: bytes, *, is_free: bool) -> None:
    fault = user_fault(status, body, model="small", is_free=is_free)
    assert fault is None or fault.message.isprintable()
