"""Which requests pass to the model, and in which form."""

import json

import pytest

from squire_pipelines.gateway import rules
from squire_pipelines.gateway.rules import RefusalError

MODELS = frozenset({"small"})


def prepared(body: object, path: str = rules.CHAT_PATH) -> rules.Forward:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return rules.prepare("POST", path, raw, MODELS)


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


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(RefusalError) as caught:
        prepared(body)
    assert caught.value.status == 400


@pytest.mark.parametrize("model", ["large", None, 3, ["small"], "", "small "])
def test_a_model_that_is_not_allowed_is_refused(model: object) -> None:
    with pytest.raises(RefusalError) as caught:
        prepared({"model": model})
    assert caught.value.status == 403
    error = json.loads(caught.value.body())["error"]
    assert error["code"] == "model"
    assert "not allowed" in error["message"]


def test_usage_is_asked_for_in_a_stream_and_other_options_stay() -> None:
    forward = prepared({"model": "small", "stream": True, "stream_options": {"include_usage": False, "x": 1}})
    assert json.loads(forward.body)["stream_options"] == {"include_usage": True, "x": 1}
    forward = prepared({"model": "small", "stream": True, "stream_options": "odd"})
    assert json.loads(forward.body)["stream_options"] == {"include_usage": True}


def test_a_plain_request_stays_as_it_is() -> None:
    body = {"model": "small", "messages": [{"role": "user", "content": "grüß"}]}
    forward = prepared(body)
    assert json.loads(forward.body) == body
    assert (forward.path, forward.model) == ("/chat/completions", "small")


def test_the_responses_interface_takes_no_stream_options() -> None:
    forward = prepared({"model": "small", "stream": True}, rules.RESPONSES_PATH)
    assert "stream_options" not in json.loads(forward.body)
    assert forward.path == "/responses"


def test_the_list_of_models_has_no_body() -> None:
    assert rules.prepare("GET", rules.MODELS_PATH, b"junk", MODELS) == rules.Forward(
        "GET", "/models", b"", None, free=True
    )


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


def test_a_repeated_key_is_taken_out() -> None:
    assert rules.without_key(b"bad key: abc", "abc") == b"bad key: [redacted]"
    assert rules.without_key(b"bad key: abc", None) == b"bad key: abc"


@pytest.mark.parametrize(
    ("content_type", "is_stream"),
    [("text/event-stream", True), ("Text/Event-Stream; charset=utf-8", True), ("application/json", False), ("", False)],
)
def test_event_streams_are_known_by_their_type(content_type: str, *, is_stream: bool) -> None:
    assert rules.is_event_stream(content_type) is is_stream
