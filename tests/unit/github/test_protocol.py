import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.errors import (
    DeliveryError,
    GitHubAuthError,
    GitHubError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubRateLimitError,
    GitHubUnavailableError,
    GitHubValidationError,
)
from squire_pipelines.github import protocol

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
RESET = str(int(NOW.timestamp()) + 90)
JSON = {"content-type": "application/json; charset=utf-8"}


def read(status: int, content: object, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return protocol.read_answer(status, {**JSON, **named}, body, request="GET /x", now=NOW)


def read_graphql(content: object, **headers: str) -> protocol.GraphQLAnswer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return protocol.read_graphql(200, {**JSON, **named}, json.dumps(content).encode(), request="the query q", now=NOW)


def test_signature_of_githubs_own_test_vector_is_accepted() -> None:
    header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert protocol.verify_signature(b"Hello, World!", header, b"It's a Secret to Everybody")
    assert protocol.sign(b"Hello, World!", b"It's a Secret to Everybody") == header


@pytest.mark.parametrize("header", [None, "", "sha256=", "sha1=" + "0" * 40, "757107", "sha256=é"])
def test_wrong_or_missing_signature_is_refused(header: str | None) -> None:
    assert not protocol.verify_signature(b"body", header, b"secret")


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return False

    monkeypatch.setattr("hmac.compare_digest", compare)
    good = protocol.sign(b"body", b"secret")
    assert not protocol.verify_signature(b"body", good, b"secret"), "nothing else decides"
    assert compared == [(good.encode(), good.encode())]


def test_empty_secret_verifies_nothing() -> None:
    assert not protocol.verify_signature(b"body", protocol.sign(b"body", b""), b"")


@given(st.binary(), st.binary(min_size=1), st.binary(min_size=1), st.binary())
def test_signature_holds_for_its_body_and_secret_alone(
    body: bytes, secret: bytes, other: bytes, changed: bytes
) -> None:
    header = protocol.sign(body, secret)
    assert protocol.verify_signature(body, header, secret)
    if changed != body:
        assert not protocol.verify_signature(changed, header, secret)
    # HMAC pads a key with zeros to its block: keys that differ by trailing zeros are one key.
    if other.rstrip(b"\0") != secret.rstrip(b"\0") and max(len(other), len(secret)) <= 64:
        assert not protocol.verify_signature(body, header, other)


def test_delivery_headers_are_read_in_any_case() -> None:
    headers = protocol.parse_delivery_headers({"X-GITHUB-EVENT": "push", "x-github-delivery": "d1"})
    assert (headers.event, headers.delivery_id) == ("push", "d1")


@pytest.mark.parametrize("missing", ["X-GitHub-Event", "X-GitHub-Delivery"])
def test_missing_delivery_header_is_named(missing: str) -> None:
    headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "d1", missing: " "}
    with pytest.raises(DeliveryError, match=missing):
        protocol.parse_delivery_headers(headers)


def test_good_answer_gives_its_data() -> None:
    assert read(200, {"a": 1}) == {"a": 1}
    assert read(204, b"") is None


ROWS: list[tuple[int, object, dict[str, str], type[GitHubError], str]] = [
    (401, {"message": "Bad credentials"}, {}, GitHubAuthError, "secrets set github-token"),
    (403, {"message": "Resource not accessible by integration"}, {}, GitHubPermissionError, "Pull requests"),
    (
        403,
        {"message": "Resource not accessible by personal access token"},
        {"x_accepted_github_permissions": "pull_requests=write"},
        GitHubPermissionError,
        "pull_requests=write",
    ),
    (
        403,
        {"message": "Must have push access"},
        {"x_accepted_oauth_scopes": "repo", "x_oauth_scopes": "gist"},
        GitHubPermissionError,
        "scopes repo; it has gist",
    ),
    (403, {"message": "SAML"}, {"x_github_sso": "required; url=https://x"}, GitHubPermissionError, "single sign-on"),
    (404, {"message": "Not Found"}, {}, GitHubNotFoundError, "check the name"),
    (410, {"message": "Issues are disabled"}, {}, GitHubNotFoundError, "check the name"),
    (451, {"message": "Repository access blocked"}, {}, GitHubNotFoundError, "check the name"),
    (301, {"message": "Moved Permanently"}, {}, GitHubNotFoundError, "has moved"),
    (422, {"message": "Validation Failed"}, {}, GitHubValidationError, ""),
    (409, {"message": "Head branch was modified"}, {}, GitHubValidationError, ""),
    (500, {"message": "Server Error"}, {}, GitHubUnavailableError, "githubstatus"),
    (502, b"<html>unicorn</html>", {}, GitHubUnavailableError, "githubstatus"),
]


@pytest.mark.parametrize(("status", "content", "headers", "kind", "hint"), ROWS)
def test_bad_status_is_the_error_that_it_means(
    status: int, content: object, headers: dict[str, str], kind: type[GitHubError], hint: str
) -> None:
    with pytest.raises(kind) as caught:
        read(status, content, x_github_request_id="ID:1", **headers)
    assert type(caught.value) is kind
    assert hint in caught.value.hint
    assert caught.value.context["status"] == status
    assert caught.value.context["request_id"] == "ID:1"
    if isinstance(content, dict):
        assert content["message"] in str(caught.value)


def test_validation_error_tells_githubs_own_reasons() -> None:
    content = {
        "message": "Validation Failed",
        "errors": [
            {"resource": "PullRequest", "code": "custom", "message": "A pull request already exists for o:b."},
            {"resource": "PullRequest", "field": "base", "code": "invalid"},
            "plain words",
        ],
    }
    with pytest.raises(GitHubValidationError) as caught:
        read(422, content)
    for part in ("already exists for o:b.", "PullRequest.base invalid", "plain words"):
        assert part in caught.value.message


@pytest.mark.parametrize("content", [{"message": "x", "errors": "one text"}, ["no object"], b"[" * 100_000, b"\xff"])
def test_odd_error_bodies_still_give_the_error(content: object) -> None:
    with pytest.raises(GitHubValidationError):
        read(422, content)


LIMITS: list[tuple[int, str, dict[str, str], float]] = [
    (429, "Too many requests", {"retry_after": "7"}, 7.0),
    (403, "You have exceeded a secondary rate limit", {"retry_after": "31"}, 31.0),
    (403, "You have exceeded a secondary rate limit.", {}, 60.0),
    (403, "You have triggered an abuse detection mechanism.", {}, 60.0),
    (
        403,
        "API rate limit exceeded for user ID 1.",
        {"x_ratelimit_limit": "5000", "x_ratelimit_remaining": "0", "x_ratelimit_reset": RESET},
        91.0,
    ),
    (429, "limit", {"x_ratelimit_limit": "5", "x_ratelimit_remaining": "0", "x_ratelimit_reset": "1"}, 1.0),
]


@pytest.mark.parametrize(("status", "message", "headers", "wait"), LIMITS)
def test_limit_says_how_long_to_wait(status: int, message: str, headers: dict[str, str], wait: float) -> None:
    with pytest.raises(GitHubRateLimitError) as caught:
        read(status, {"message": message}, **headers)
    assert caught.value.retry_after_s == wait
    assert f"{wait:.0f} s" in caught.value.hint


def test_wait_is_counted_on_the_servers_clock() -> None:
    headers = {
        "x-ratelimit-limit": "1",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": RESET,
        "date": "Sun, 22 Nov 2026 12:01:00 GMT",
    }
    assert protocol.retry_after_s(headers, now=NOW) == 31.0
    assert protocol.retry_after_s({**headers, "date": "nonsense"}, now=NOW) == 91.0
    assert protocol.retry_after_s({**headers, "date": "Sun, 22 Nov 2026 12:01:00 -0000"}, now=NOW) == 31.0


@pytest.mark.parametrize("reset", ["x", "9" * 30])
def test_wait_without_a_time_that_can_be_read_is_a_minute(reset: str) -> None:
    limit = {"x-ratelimit-limit": "1", "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
    assert protocol.retry_after_s({}, now=NOW) is None
    with pytest.raises(GitHubRateLimitError) as caught:
        read(429, {}, **{name.replace("-", "_"): value for name, value in limit.items()})
    assert (caught.value.retry_after_s, caught.value.is_stated) == (60.0, False)


SPELLINGS: list[tuple[dict[str, object], dict[str, str], bool]] = [
    ({"errors": [{"type": "RATE_LIMIT", "code": "graphql_rate_limit", "message": "API rate limit"}]}, {}, False),
    ({"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded for user ID 1."}]}, {}, False),
    ({"data": None, "errors": [{"message": "no", "extensions": {"code": "GRAPHQL_RATE_LIMIT"}}]}, {}, False),
    ({"data": {"a": 1}, "errors": [{"code": "graphql_rate_limit", "path": ["a"], "message": "x"}]}, {}, False),
    ({"message": "API rate limit exceeded for installation ID 1."}, {}, False),
    ({"errors": [{"message": "You have exceeded a secondary rate limit. Please wait"}]}, {}, True),
    ({"errors": [{"message": "was submitted too quickly"}]}, {}, True),
]


@pytest.mark.parametrize(("content", "headers", "secondary"), SPELLINGS)
def test_a_limit_in_an_answer_of_status_200_is_one_however_it_is_spelled(
    content: dict[str, object], headers: dict[str, str], *, secondary: bool
) -> None:
    spent = {"x_ratelimit_limit": "5000", "x_ratelimit_remaining": "0", "x_ratelimit_reset": RESET}
    with pytest.raises(GitHubRateLimitError) as caught:
        read_graphql(content, **headers, **spent)
    assert (caught.value.retry_after_s, caught.value.is_stated) == (91.0, True)
    assert caught.value.is_secondary is secondary


def test_what_was_submitted_too_quickly_is_a_limit_whatever_the_status() -> None:
    content = {"message": "Validation Failed", "errors": [{"code": "custom", "message": "was submitted too quickly"}]}
    with pytest.raises(GitHubRateLimitError) as caught:
        read(422, content)
    assert (caught.value.retry_after_s, caught.value.is_secondary) == (60.0, True)


def test_a_refusal_that_names_a_wait_while_quota_is_left_is_a_secondary_limit() -> None:
    with pytest.raises(GitHubRateLimitError) as caught:
        read(403, {"message": "slow down"}, retry_after="9", x_ratelimit_remaining="4000")
    assert caught.value.is_secondary


@pytest.mark.parametrize("body", [b"<html>", b"{", b"\xff\xfe", b"[" * 100_000])
def test_good_status_with_a_body_that_is_no_json_is_unavailable(body: bytes) -> None:
    with pytest.raises(GitHubUnavailableError, match="not what GitHub's API sends"):
        read(200, body)


def test_graphql_data_without_errors_is_whole() -> None:
    assert read_graphql({"data": {"viewer": 1}}).whole() == {"viewer": 1}


def test_graphql_primary_limit_arrives_as_200() -> None:
    content = {"data": None, "errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}
    with pytest.raises(GitHubRateLimitError) as caught:
        read_graphql(content, x_ratelimit_limit="5000", x_ratelimit_remaining="0", x_ratelimit_reset=RESET)
    assert caught.value.retry_after_s == 91.0


GRAPHQL_ROWS: list[tuple[dict[str, object], type[GitHubError]]] = [
    ({"type": "NOT_FOUND", "path": ["repository"], "message": "Could not resolve"}, GitHubNotFoundError),
    ({"type": "FORBIDDEN", "path": ["repository"], "message": "Resource not accessible"}, GitHubPermissionError),
    ({"type": "INSUFFICIENT_SCOPES", "message": "needs read:org"}, GitHubPermissionError),
    ({"message": "You have exceeded a secondary rate limit"}, GitHubRateLimitError),
    ({"message": "Something went wrong while executing your query on 2026"}, GitHubUnavailableError),
    ({"message": "We couldn't respond to your request in time."}, GitHubUnavailableError),
    ({"type": "MAX_NODE_LIMIT_EXCEEDED", "message": "too many nodes"}, GitHubValidationError),
    ({"message": "Field 'x' doesn't exist on type 'Query'", "path": ["query", "x"]}, GitHubValidationError),
]


@pytest.mark.parametrize(("entry", "kind"), GRAPHQL_ROWS)
def test_graphql_error_is_the_error_that_it_means(entry: dict[str, object], kind: type[GitHubError]) -> None:
    with pytest.raises(kind) as caught:
        read_graphql({"data": {"repository": None}, "errors": [entry]}).whole()
    assert type(caught.value) is kind
    assert str(entry["message"]) in caught.value.message


def test_graphql_errors_of_fields_leave_the_other_data_readable() -> None:
    entry = {"type": "FORBIDDEN", "path": ["repository", "nodes", 0, "x"], "message": "no"}
    got = read_graphql({"data": {"repository": {"nodes": [{"x": None}]}}, "errors": [entry]})
    assert got.data["repository"]["nodes"] == [{"x": None}]
    assert got.errors[0].path == ("repository", "nodes", 0, "x")


@pytest.mark.parametrize("content", [[], {"data": None}, {"data": 3}, {}])
def test_graphql_answer_without_data_is_unavailable(content: object) -> None:
    with pytest.raises(GitHubUnavailableError):
        read_graphql(content)


@given(
    st.integers(300, 599),
    st.binary(max_size=200),
    st.dictionaries(
        st.sampled_from(
            ["retry-after", "x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-limit", "date", "x-github-sso"]
        ),
        st.text(max_size=12),
    ),
)
def test_every_bad_answer_becomes_one_of_our_errors(status: int, body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(GitHubError) as caught:
        protocol.read_answer(status, headers, body, request="GET /x", now=NOW)
    assert str(status) in caught.value.message
    if isinstance(caught.value, GitHubRateLimitError):
        assert caught.value.retry_after_s >= 0


@pytest.mark.parametrize(
    "message", ["You have exceeded a secondary rate limit", "Something went wrong while executing your query"]
)
def test_graphql_error_worth_another_try_is_never_taken_for_a_missing_field(message: str) -> None:
    entry = {"path": ["repository", "issues"], "message": message}
    with pytest.raises(GitHubError) as caught:
        read_graphql({"data": {"repository": {"issues": None}}, "errors": [entry]})
    assert caught.value.retryable


def test_an_address_without_the_api_is_told_from_a_repository_that_is_missing() -> None:
    with pytest.raises(GitHubValidationError, match="no GraphQL API at this address: it answered 404") as caught:
        protocol.read_graphql(404, JSON, b'{"message": "Not Found"}', request="the query q", now=NOW)
    assert "github.api_url" in caught.value.hint
    with pytest.raises(GitHubNotFoundError) as missing:
        protocol.read_answer(404, JSON, b"{}", request="GET /rate_limit", now=NOW)
    assert "github.api_url" in missing.value.hint
