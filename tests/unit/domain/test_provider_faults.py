"""Which errors of a provider only the user can change, by what providers answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.provider_faults import (
    CredentialWords,
    FaultKind,
    ProviderWords,
    error_code,
    fault_kind,
    tell_waiting,
)

WORDS = ProviderWords("own", "own-key", "https://models.test/v1")
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
    "OpenAI, a model of others": (403, {"code": "model_not_found"}, "model"),
    "a compatible server, an unknown model": (400, {"message": "x is not a valid model ID", "code": 400}, "model"),
    "LiteLLM, no money": (
        400,
        {
            "message": 'litellm.BadRequestError: AnthropicException - b\'{"type":"error","error":{"type":'
            '"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}\''
        },
        "quota",
    ),
    "a compatible server, no money": (402, {"message": "Insufficient Balance"}, "quota"),
    "AWS, a token that has ended": (403, {"code": "ExpiredTokenException", "message": "The security token"}, "key"),
    "AWS, keys of nobody": (403, {"code": "UnrecognizedClientException", "message": "The security token"}, "key"),
    "AWS, a wrong signature": (400, {"code": "IncompleteSignatureException", "message": "Authorization"}, "key"),
    "AWS, no permission": (403, {"code": "AccessDeniedException", "message": "User is not authorized to"}, "key"),
    "AWS, no access to the model": (
        403,
        {"code": "AccessDeniedException", "message": "You don't have access to the model with the specified model ID."},
        "model",
    ),
    "AWS, no such model": (
        400,
        {"code": "ValidationException", "message": "The provided model identifier is invalid."},
        "model",
    ),
    "AWS, a model of a profile": (
        400,
        {
            "code": "ValidationException",
            "message": "Invocation of model ID x with on-demand throughput is not supported.",
        },
        "model",
    ),
    "AWS, a model that has ended": (
        404,
        {"code": "ResourceNotFoundException", "message": "This model version"},
        "model",
    ),
    "AWS, the day's quota": (
        429,
        {"code": "ThrottlingException", "message": "Too many tokens per day, please wait before trying again."},
        "quota",
    ),
    "AWS, the account's quota": (400, {"code": "ServiceQuotaExceededException", "message": "Your request"}, "quota"),
    "Vertex, no token": (401, {"code": 401, "status": "UNAUTHENTICATED"}, "key"),
    "Vertex, another region's model": (
        400,
        {"code": 400, "status": "FAILED_PRECONDITION", "message": "Publisher Model x is not servable in region y."},
        "model",
    ),
    "no such path": (404, {}, "address"),
    "a path that takes something else": (405, {}, "address"),
    "another address": (308, {}, "address"),
}
PASSING: dict[str, tuple[int, dict[str, object]]] = {
    "too many requests": (429, {"type": "rate_limit_error", "code": "rate_limit_exceeded"}),
    "Google, too many requests": (429, {"code": 429, "status": "RESOURCE_EXHAUSTED"}),
    "AWS, too many requests": (429, {"code": "ThrottlingException", "message": "Too many requests, please wait"}),
    "AWS, a model that starts": (429, {"code": "ModelNotReadyException", "message": "The model is not ready"}),
    "AWS, a wrong request": (400, {"code": "ValidationException", "message": "messages: at least one message"}),
    "overloaded": (529, {"type": "overloaded_error"}),
    "a server's error with the words of another": (500, {"code": "insufficient_quota"}),
    "a server's error": (500, {"type": "server_error"}),
    "a quoted text of the agent's": (
        400,
        {"message": "Invalid schema for 'x': 'unknown model' is not valid under any"},
    ),
    "a quoted text about money": (400, {"message": "messages.0.name: 'your credit balance is too low' is no name"}),
    "a quoted text at the beginning": (400, {"message": "'x is not a valid model' is not of type 'object'"}),
    "a quoted text of a permission": (403, {"message": "the tool 'access to the model' was refused"}),
    "a quoted text behind a proxy's": (
        400,
        {"message": "litellm.BadRequestError: OpenAIException - no 'unknown model'"},
    ),
    "a conversation that is too long": (400, {"code": "context_length_exceeded"}),
    "a request that is too large": (413, {"type": "request_too_large"}),
}


@pytest.mark.parametrize("case", USERS)
def test_an_error_that_only_the_user_can_change_says_what_to_do(case: str) -> None:
    status, error, kind = USERS[case]
    body = json.dumps({"error": error}).encode()
    fault = WORDS.fault_of(status, body, model="small")
    assert fault is not None
    assert fault.kind == kind
    assert str(status) in fault.message
    assert "provider own" in fault.message
    assert any(verb in str(fault) for verb in ("Set ", "Raise ", "Correct "))
    assert ("`squire secrets set own-key`" in fault.hint) is (kind in {"key", "quota"})
    assert fault_kind(status, json.dumps(error).encode()) == kind  # a library has taken the error out


@pytest.mark.parametrize("case", PASSING)
def test_an_error_that_may_pass_or_is_the_requests_own_is_no_fault_of_the_user(case: str) -> None:
    status, error = PASSING[case]
    assert fault_kind(status, json.dumps({"error": error}).encode()) is None


def test_a_403_without_a_code_that_names_the_key_is_about_the_request() -> None:
    flagged = {"error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"]}}}  # OpenRouter's
    assert fault_kind(403, json.dumps(flagged).encode()) is None
    assert fault_kind(403, b"<html>Forbidden</html>") is None


def test_what_a_provider_does_not_serve_beside_answers_is_no_fault() -> None:
    for status in (402, 403, 404):
        assert fault_kind(status, b"{}", is_free=True) is None
    assert fault_kind(401, b"", is_free=True) is FaultKind.KEY


@pytest.mark.parametrize(("status", "kind"), [(401, "key"), (402, "quota"), (404, "model")])
def test_credentials_that_are_no_key_of_ours_are_told_with_their_own_next_step(status: int, kind: str) -> None:
    words = ProviderWords("aws", "aws-key", credentials=CredentialWords("the AWS credentials", "sign in"))
    fault = words.fault_of(status, b'{"error":{"code":"x"}}', model="m")
    assert fault is not None
    assert fault.kind == kind
    assert "the AWS credentials" in fault.message
    assert "aws-key" not in str(fault)
    assert ("Sign in." in str(fault)) is (kind == "key")


@pytest.mark.parametrize(
    ("credentials", "noticed"),
    [(None, {"key", "model", "address"}), (CredentialWords("the AWS credentials", "sign in"), {"address"})],
)
@pytest.mark.parametrize("kind", FaultKind)
def test_a_task_is_said_to_go_on_by_itself_only_after_what_the_settings_and_keys_show(
    kind: FaultKind, credentials: CredentialWords | None, noticed: set[str]
) -> None:
    fault = ProviderWords("own", "own-key", credentials=credentials).describe(kind, "401", "m")
    sentences = tell_waiting([fault, fault])
    assert sentences.count(str(fault)) == 1
    assert ("goes on by itself after the change" in sentences) is (kind in noticed)
    assert ("after any other change, run `squire tasks retry`" in sentences) is (kind not in noticed)
    assert "after any other change" in tell_waiting([WORDS.missing_key(), WORDS.describe(FaultKind.QUOTA, "402", "m")])


def test_a_key_that_is_nowhere_is_told_with_the_next_step() -> None:
    fault = ProviderWords("own", "own-key").missing_key()
    assert fault.message == "the provider own needs the key own-key, which is not set"
    assert fault.hint == "run `squire secrets set own-key`; `squire doctor` tries it"
    keyless = ProviderWords("own", "own-key", key_step="set SQUIRE_OWN_KEY")
    assert keyless.missing_key().hint == "set SQUIRE_OWN_KEY; `squire doctor` tries it"
    refused = keyless.fault_of(401, b"", model="m")
    assert refused is not None
    assert refused.hint == "set one that it takes: set SQUIRE_OWN_KEY; `squire doctor` tries it"


def test_the_most_telling_name_of_an_error_is_its_code() -> None:
    google = {"code": 400, "status": "INVALID_ARGUMENT", "details": [{}, GOOGLE_KEY]}
    assert error_code(json.dumps([{"error": google}]).encode()) == "API_KEY_INVALID"
    assert error_code(b'{"error": {"type": "overloaded_error"}}') == "overloaded_error"
    assert error_code(b'{"error": {"code": "a\\u001b[31m' + b"b" * 90 + b'"}}') == ("a??31m" + "b" * 60)[:60]
    for nothing in (b"", b"<html>", b"[]", b'{"error": "no"}', b"[" * 100_000):
        assert error_code(nothing) is None


@given(status=st.integers(300, 599), body=st.binary(max_size=200), is_free=st.booleans())
def test_whatever_a_provider_answers_is_judged(status: int, body: bytes, *, is_free: bool) -> None:
    fault = WORDS.fault_of(status, body, model="small", is_free=is_free)
    assert fault is None or str(fault).isprintable()
