"""Which paths and headers pass to the model and back."""

import pytest

from squire_pipelines.gateway import rules
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.gateway.refusals import RefusalError


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/files", 404),
        ("POST", "/v1/chat/completions/", 404),
        ("POST", "/v1/../v1/chat/completions", 404),
        ("POST", "//v1/chat/completions", 404),
        ("GET", "/", 404),
        ("POST", "http://elsewhere/v1/chat/completions", 404),
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("CONNECT", "/v1/responses", 405),
    ],
)
def test_other_paths_and_methods_are_refused(method: str, path: str, status: int) -> None:
    with pytest.raises(RefusalError) as caught:
        rules.check_path(method, path)
    assert caught.value.status == status


def test_of_the_agents_headers_few_pass_and_the_key_is_ours() -> None:
    sent = [
        ("Authorization", "Bearer stolen"),
        ("Content-Type", "application/json"),
        ("Connection", "keep-alive, x-api-key"),
        ("Transfer-Encoding", "chunked"),
        ("Cookie", "a=b"),
        ("X-Api-Key", "k"),
        ("Host", "evil"),
        ("Accept-Encoding", "br"),
    ]
    assert rules.request_headers(sent, "the-key") == {
        "content-type": "application/json",
        "accept-encoding": "identity",
        "authorization": "Bearer the-key",
    }
    assert "authorization" not in rules.request_headers(sent, None)


def test_of_the_upstreams_headers_few_pass() -> None:
    sent = [("Content-Type", "text/plain"), ("Set-Cookie", "a=b"), ("Retry-After", "3"), ("Server", "x")]
    assert rules.response_headers(sent) == [(b"content-type", b"text/plain"), (b"retry-after", b"3")]


@pytest.mark.parametrize(
    ("name", "sent", "passed"),
    [
        ("retry-after", "59.5", "59.5"),
        ("retry-after", "31536000", "60"),
        ("retry-after", "-1", "60"),
        ("Retry-After", "nan", "60"),
        ("retry-after", "Fri, 31 Dec 2999 23:59:59 GMT", "60"),
        ("retry-after-ms", "200", "200"),
        ("retry-after-ms", "1e12", "60000"),
    ],
)
def test_no_provider_has_a_program_wait_for_the_rest_of_its_attempt(name: str, sent: str, passed: str) -> None:
    assert rules.response_headers([(name, sent)]) == [(name.lower().encode(), passed.encode())]


@pytest.mark.parametrize(
    ("content_type", "is_stream"),
    [("text/event-stream", True), ("Text/Event-Stream; charset=utf-8", True), ("application/json", False), ("", False)],
)
def test_event_streams_are_known_by_their_type(content_type: str, *, is_stream: bool) -> None:
    assert rules.is_event_stream(content_type) is is_stream


def test_of_betas_those_pass_by_which_the_provider_does_nothing_for_the_agent() -> None:
    sent = [
        ("anthropic-beta", "mcp-client-2025-11-20, interleaved-thinking-2025-05-14,code-execution-2025-08-25"),
        ("Anthropic-Beta", "files-api-2025-04-14,claude-code-20250219,interleaved-thinking-2025-05-14"),
        ("anthropic-version", "2099-01-01"),
    ]
    assert rules.request_headers(sent, "k", Protocol.ANTHROPIC) == {
        "content-type": "application/json",
        "accept-encoding": "identity",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "interleaved-thinking-2025-05-14,claude-code-20250219",
        "x-api-key": "k",
    }
    assert "anthropic-beta" not in rules.request_headers(sent[2:], None, Protocol.ANTHROPIC)
