"""Requests to a model are made anew: what is known passes, everything else is dropped or refused."""

import copy
import json
import random
from typing import Any

import pytest

from squire_pipelines.gateway import request_body, rules
from squire_pipelines.gateway.forward import Forward
from squire_pipelines.gateway.refusals import RefusalError
from squire_pipelines.gateway.request_body import rebuild_request
from squire_pipelines.gateway.rules import (
    CHAT_PATH,
    COUNT_PATH,
    MESSAGES_PATH,
    MODELS_PATH,
    RESPONSES_PATH,
)
from tests.support import model_requests

GENERATED = 3_000
HONEST = model_requests.honest_requests()
CHAT = {"model": "small", "messages": [{"role": "user", "content": "grüß"}]}
RESPONSES = {"model": "small", "input": "Hello."}
MESSAGES = {"model": "small", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello."}]}
GEMINI: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hello."}]}]}
BASES: dict[str, dict[str, Any]] = {
    CHAT_PATH: CHAT,
    RESPONSES_PATH: RESPONSES,
    MESSAGES_PATH: MESSAGES,
    COUNT_PATH: MESSAGES,
    model_requests.STREAM: GEMINI,
    model_requests.GEMINI_COUNT: GEMINI,
}


def rebuilt(document: object, path: str = CHAT_PATH, **options: Any) -> Forward:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return rebuild_request("POST", path, raw, {"small"}, **options)


def tried(document: object, path: str) -> tuple[Forward | None, RefusalError | None]:
    """The request as it is passed on, or its refusal."""
    try:
        return rebuilt(document, path), None
    except RefusalError as refusal:
        return None, refusal


def upstream(document: object, path: str = CHAT_PATH, **options: Any) -> dict[str, Any]:
    """The document as it goes upstream, with the greatest answer that it may have."""
    forward = rebuilt(document, path, **options)
    made: dict[str, Any] = json.loads(forward.body(forward.output if forward.names_output else None))
    return made


PNG, PDF = "data:image/png;base64,AAAA", "data:application/pdf;base64,AAAA"
PICTURE = {"type": "image_url", "image_url": {"url": PNG}}
PICTURE_BLOCK = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PDF_BLOCK = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}


@pytest.mark.slow
@pytest.mark.parametrize("program", HONEST)
def test_what_an_agents_program_sends_passes_and_means_the_same(program: str) -> None:
    path, document = HONEST[program]
    made = upstream(document, path)
    same = ("messages", "system", "instructions", "thinking", "contents", "systemInstruction", "toolConfig")
    for key in (*same, "generationConfig", "safetySettings", "generateContentRequest"):
        assert made.get(key) == _without_nulls(document.get(key))
    own = [tool for tool in document.get("tools", ()) if tool.get("type") != "web_search"]
    assert made.get("tools", []) == own
    assert model_requests.schema_error(path, json.dumps(made).encode()) is None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict) and "role" in value:
        return {key: _without_nulls(entry) for key, entry in value.items() if entry is not None}
    return [_without_nulls(entry) for entry in value] if isinstance(value, list) else value


def test_items_of_a_conversation_keep_their_order_and_content() -> None:
    made = upstream(HONEST["Codex"][1], RESPONSES_PATH)
    sent = HONEST["Codex"][1]["input"]
    assert [item["type"] for item in made["input"]] == [item["type"] for item in sent]
    assert made["input"][2] == sent[2], "a sealed thought counts only with its own id"
    assert made["input"][4:] == sent[4:]
    assert made["store"] is False


@pytest.mark.parametrize("path", BASES)
@pytest.mark.parametrize(("key", "value"), model_requests.HOSTILE_KEYS)
def test_a_key_by_which_the_provider_would_act_never_passes(path: str, key: str, value: object) -> None:
    forward, refusal = tried({**BASES[path], key: value}, path)
    if refusal is not None:
        assert (refusal.status, refusal.code) == (400, "not_passed_on")
        assert refusal.headers == [(b"x-should-retry", b"false")]
    if forward is not None:
        assert b"evil" not in forward.body(None)
        assert forward.dropped or key == "store"


@pytest.mark.parametrize("path", BASES)
@pytest.mark.parametrize("tool", model_requests.HOSTILE_TOOLS)
def test_a_tool_of_the_providers_is_not_offered(path: str, tool: dict[str, Any]) -> None:
    choice = {"type": tool.get("type", "x"), "name": tool.get("name", "x")}
    document = {**BASES[path], "tools": [tool], "tool_choice": choice, "parallel_tool_calls": True}
    forward, _ = tried(document, path)
    assert forward is not None or "type" not in tool, "only what names no kind is a broken tool of the agent's own"
    made = json.loads(forward.body(None)) if forward is not None else {}
    assert "evil" not in json.dumps(made)
    assert all(entry["type"] == "namespace" for entry in made.get("tools", ()))
    assert "tool_choice" not in made


@pytest.mark.parametrize("part", model_requests.HOSTILE_PARTS)
@pytest.mark.parametrize("path", [CHAT_PATH, RESPONSES_PATH, MESSAGES_PATH, model_requests.STREAM])
def test_a_part_that_the_provider_would_fetch_is_refused(path: str, part: dict[str, Any]) -> None:
    key, parts = {RESPONSES_PATH: ("input", "content"), model_requests.STREAM: ("contents", "parts")}.get(
        path, ("messages", "content")
    )
    with pytest.raises(RefusalError, match=key) as refused:
        rebuilt({**BASES[path], key: [{"role": "user", parts: [part]}]}, path)
    assert (refused.value.status, refused.value.code) == (400, "not_passed_on")


@pytest.mark.parametrize("item", model_requests.HOSTILE_ITEMS)
def test_an_item_that_the_provider_would_look_up_is_refused_or_loses_its_id(item: dict[str, Any]) -> None:
    forward, refusal = tried({**RESPONSES, "input": [item]}, RESPONSES_PATH)
    assert refusal is None or refusal.code == "not_passed_on"
    assert forward is None or b"evil" not in forward.body(None)


@pytest.mark.slow
def test_generated_requests_name_nothing_elsewhere_and_are_what_the_providers_publish() -> None:
    generator = random.Random(20261127)  # noqa: S311 - not for secrets
    passed = 0
    for _ in range(GENERATED):
        path, raw = model_requests.generate(generator)
        try:
            forward = rebuilt(raw, path)
        except RefusalError:
            continue
        passed += 1
        body = forward.body(forward.output if forward.names_output else None)
        assert model_requests.breaks(path, body) == []
        assert model_requests.schema_error(path, body) is None
    assert passed > GENERATED / 4


@pytest.mark.slow
def test_the_oracle_sees_what_must_not_pass() -> None:
    body = json.dumps({"model": "large", "messages": [{"content": [{"image_url": {"url": "https://a"}}]}]}).encode()
    assert model_requests.breaks(CHAT_PATH, body) == ["another model", *["a URL that is fetched"] * 2]
    assert model_requests.schema_error(MESSAGES_PATH, body) is not None


def test_web_search_is_open_by_one_setting_and_is_noted() -> None:
    cases: tuple[tuple[str, dict[str, Any]], ...] = (
        (CHAT_PATH, {"web_search_options": {"search_context_size": "low"}}),
        (RESPONSES_PATH, {"tools": [{"type": "web_search"}]}),
        (MESSAGES_PATH, {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]}),
        (model_requests.STREAM, {"tools": [{"googleSearch": {}}]}),
    )
    for path, search in cases:
        document = {**BASES[path], **search}
        closed, opened = rebuilt(document, path), rebuilt(document, path, web_search=True)
        assert (closed.web_search, opened.web_search) == (False, True)
        assert b"search" not in closed.body(None).lower()
        assert b"search" in opened.body(None).lower()
        assert not rebuilt(BASES[path], path, web_search=True).web_search


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000, b'{"model": NaN}', '{"model": "small"}'.encode("utf-16")],
)
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(RefusalError) as caught:
        rebuilt(body)
    assert caught.value.status == 400


@pytest.mark.parametrize("piece", [b"[],", b'{"a":1},', b"[" * 9 + b"]" * 9 + b","])
def test_a_body_of_too_many_values_is_refused_unread(piece: bytes) -> None:
    with pytest.raises(RefusalError) as caught:
        rebuilt(b'{"model": "small", "messages": [' + piece * request_body.MAX_VALUES + b"no JSON")
    assert (caught.value.status, caught.value.code) == (413, "request_too_large")


def test_arguments_that_are_nested_too_deep_are_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(200):
        schema = {"items": schema}
    tool = {"type": "function", "function": {"name": "a", "parameters": schema}}
    with pytest.raises(RefusalError, match="levels deep"):
        rebuilt({**CHAT, "tools": [tool]})


def test_numbers_that_json_has_not_are_refused() -> None:
    body = b'{"model": "small", "temperature": 1e999, "messages": []}'
    with pytest.raises(RefusalError, match="number"):
        rebuilt(body)
    tool = b'{"type": "function", "function": {"name": "a", "parameters": {"default": 1e999}}}'
    with pytest.raises(RefusalError, match="finite"):
        rebuilt(b'{"model": "small", "messages": [], "tools": [' + tool + b"]}")


@pytest.mark.parametrize(
    ("path", "document", "least"),
    [
        (CHAT_PATH, {"messages": [{"role": "user", "content": [PICTURE, PICTURE]}]}, 100_000),
        (
            CHAT_PATH,
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": PDF}}]}]},
            1_000_000,
        ),
        (RESPONSES_PATH, {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PNG}]}]}, 50_000),
        (
            RESPONSES_PATH,
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_data": PDF}]}]},
            1_000_000,
        ),
        (
            MESSAGES_PATH,
            {"messages": [{"role": "user", "content": [PICTURE_BLOCK, {"type": "text", "text": "\ud800"}]}]},
            50_000,
        ),
        (MESSAGES_PATH, {"messages": [{"role": "user", "content": [PDF_BLOCK]}]}, 1_000_000),
        (MESSAGES_PATH, {"messages": [], "tools": [{"type": "bash_20250124", "name": "bash"}]}, 2_000),
        (RESPONSES_PATH, {"input": "x", "tools": [{"type": "local_shell"}]}, 2_000),
    ],
)
def test_what_takes_more_tokens_than_bytes_has_room_reserved(path: str, document: dict[str, Any], least: int) -> None:
    forward = rebuild_request("POST", path, json.dumps({"model": "small", **document}).encode(), ["small"])
    assert forward.greatest_input == len(forward.rest) + least


def test_text_that_speaks_of_pictures_is_text() -> None:
    content = json.dumps([PICTURE, PDF_BLOCK])
    body = json.dumps({"model": "small", "messages": [{"role": "user", "content": content}]}).encode()
    forward = rebuild_request("POST", CHAT_PATH, body, ["small"])
    assert forward.greatest_input == len(forward.rest)


@pytest.mark.parametrize("model", ["large", None, 3, ["small"], "", "small "])
def test_a_model_that_is_not_allowed_is_refused(model: object) -> None:
    with pytest.raises(RefusalError) as caught:
        rebuilt({**CHAT, "model": model})
    assert caught.value.status == 400
    error = json.loads(caught.value.body())["error"]
    assert error["code"] == "model"
    assert "not allowed" in error["message"]


def test_usage_is_asked_for_in_a_stream() -> None:
    for options in ({"include_usage": False, "x": 1}, {}, None):
        made = upstream({**CHAT, "stream": True, "stream_options": options})
        assert made["stream_options"] == {"include_usage": True}
    assert "stream_options" not in upstream({**CHAT, "stream_options": {"include_usage": True}})
    assert "stream_options" not in upstream({**RESPONSES, "stream": True}, RESPONSES_PATH)


def test_a_plain_request_stays_as_it_is() -> None:
    forward = rebuilt(CHAT)
    assert json.loads(forward.body(None)) == CHAT
    assert (forward.path, forward.model, forward.dropped) == ("/chat/completions", "small", ())


def test_half_a_character_does_not_make_a_request_fail() -> None:
    assert upstream({**CHAT, "messages": [{"role": "user", "content": "a\ud83d"}]})["messages"][0]["content"] == "a?"


def test_a_tool_need_not_say_whether_it_is_strict() -> None:
    tool = {"type": "function", "name": "read", "description": "Reads."}
    made = upstream({**RESPONSES, "tools": [tool]}, RESPONSES_PATH)
    assert made["tools"] == [{**tool, "parameters": None, "strict": None}]
    assert model_requests.schema_error(RESPONSES_PATH, json.dumps(made).encode()) is None


def test_a_schema_keeps_its_data_and_loses_its_own_names() -> None:
    schema = {
        "type": "object",
        "properties": {"$id": {"type": "string"}, "id": {"default": "a"}},
        "examples": [{"id": "a"}],
    }
    function = {"name": "read", "parameters": {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}}
    forward = rebuilt({**CHAT, "tools": [{"type": "function", "function": function}]})
    assert json.loads(forward.body(None))["tools"][0]["function"]["parameters"] == schema
    assert forward.dropped == ("$schema",)


def test_the_list_of_models_has_no_body() -> None:
    forward = rebuild_request("GET", MODELS_PATH, b"junk", {"small"})
    assert (forward.path, forward.free, forward.body(None)) == ("/models", True, b"")


@pytest.mark.parametrize("limit", [None, -1, 0, 1.0, "100", True, [5]])
@pytest.mark.parametrize(
    ("path", "key"), [(CHAT_PATH, "max_tokens"), (RESPONSES_PATH, "max_output_tokens"), (MESSAGES_PATH, "max_tokens")]
)
def test_a_limit_that_is_none_is_ours(path: str, key: str, limit: object) -> None:
    forward = rebuilt({**BASES[path], key: limit}, path, default_output=5000)
    assert forward.output == 5000
    assert json.loads(forward.body(700))[key] == 700


def test_the_limit_is_named_as_the_provider_wants_it() -> None:
    def keys(document: dict[str, Any], base_url: str = "http://127.0.0.1/v1") -> set[str]:
        made = json.loads(rebuilt({**CHAT, **document}, base_url=base_url).body(9))
        return {"max_tokens", "max_completion_tokens"} & set(made)

    assert keys({}) == keys({"max_tokens": 5}) == {"max_tokens"}
    assert keys({"max_completion_tokens": 5}) == keys({"max_completion_tokens": 5, "max_tokens": 6})
    assert keys({}, "https://api.openai.com/v1") == keys({"max_completion_tokens": 5}) == {"max_completion_tokens"}


def test_a_budget_for_thinking_is_less_than_the_answer() -> None:
    forward = rebuilt(
        {**MESSAGES, "max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 8999}}, MESSAGES_PATH
    )
    assert json.loads(forward.body(5000))["thinking"] == {"type": "enabled", "budget_tokens": 4999}
    assert json.loads(forward.body(9000))["thinking"]["budget_tokens"] == 8999
    assert forward.least_output == 1025
    for budget in (1023, "2000", -1, None, 2000.5):
        with pytest.raises(RefusalError, match="budget_tokens"):
            rebuilt({**MESSAGES, "thinking": {"type": "enabled", "budget_tokens": budget}}, MESSAGES_PATH)


def test_answers_that_are_asked_for_several_times_are_counted() -> None:
    assert rebuilt({**CHAT, "n": 3}).choices == 3
    for choices in (9, 0, -1, "2", 1.5):
        with pytest.raises(RefusalError, match=r"request\.n"):
            rebuilt({**CHAT, "n": choices})


def test_what_was_dropped_is_named_without_what_a_terminal_would_obey() -> None:
    document = copy.deepcopy(CHAT) | {f"\x1b[31m{number}": 1 for number in range(50)}
    dropped = rebuilt(document).dropped
    assert len(dropped) == 20
    assert all(name.isprintable() and "\x1b" not in name for name in dropped)


def test_a_refused_document_is_told_where_and_why() -> None:
    with pytest.raises(RefusalError) as refused:
        rebuilt({**RESPONSES, "previous_response_id": "resp_1"}, RESPONSES_PATH)
    assert "previous_response_id" in refused.value.message
    assert "Send the whole conversation" in refused.value.message
    assert rules.protocol_of(MESSAGES_PATH) == "anthropic"
