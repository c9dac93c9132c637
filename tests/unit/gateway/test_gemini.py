"""Gemini's interface: its model is in the path, its limits in a part of the document, and its count in each event."""

import json
from typing import Any

import pytest
from genai_prices import Usage, calc_price

from squire_pipelines.gateway import rules
from squire_pipelines.gateway.forward import Forward
from squire_pipelines.gateway.meter import Meter
from squire_pipelines.gateway.model import GatewayLimits, Protocol, RunningCall, Tokens
from squire_pipelines.gateway.prices import find_price
from squire_pipelines.gateway.refusals import RefusalError
from squire_pipelines.gateway.request_body import rebuild_request
from squire_pipelines.gateway.usage import EventCounter, read_answer
from tests.support.model_requests import GEMINI_COUNT, GENERATE, STREAM

CONTENTS: list[dict[str, Any]] = [{"role": "user", "parts": [{"text": "Hello."}]}]
BODY = {"contents": CONTENTS}


def rebuilt(document: object, path: str = STREAM, **options: Any) -> Forward:
    return rebuild_request("POST", path, json.dumps(document).encode(), {"small"}, **options)


def upstream(document: object, output: int | None = None, path: str = STREAM) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(rebuilt(document, path).body(output))
    return made


@pytest.mark.parametrize(
    ("path", "below"),
    [
        (GENERATE, "/models/small:generateContent"),
        (STREAM, "/models/small:streamGenerateContent?alt=sse"),
        (GEMINI_COUNT, "/models/small:countTokens"),
    ],
)
def test_the_model_of_the_path_is_asked_and_streams_are_events(path: str, below: str) -> None:
    forward = rebuilt({**BODY, "model": "models/evil"}, path)
    assert (forward.path, forward.model, forward.protocol) == (below, "small", Protocol.GEMINI)
    assert b"evil" not in forward.body(None)


def test_a_model_is_allow_listed_and_may_have_an_alias() -> None:
    path = "/v1beta/models/fast:generateContent"
    assert rebuilt(BODY, path, aliases={"fast": "small"}).path == "/models/small:generateContent"
    with pytest.raises(RefusalError, match="not allowed") as refused:
        rebuilt(BODY, path)
    assert refused.value.code == "model"


def test_a_name_of_a_model_leads_nowhere_else() -> None:
    name = "a b?c#d/../e%"
    forward = rebuild_request("POST", GENERATE, json.dumps(BODY).encode(), {name}, {"small": name})
    assert forward.path == "/models/a%20b%3Fc%23d%2F..%2Fe%25:generateContent"


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/v1beta/models/small:batchGenerateContent", "path"),
        ("POST", "/v1beta/models/a/b:generateContent", "path"),
        ("POST", "/v1beta/models/:generateContent", "path"),
        ("POST", "/v1beta/tunedModels/a:generateContent", "path"),
        ("POST", "/v1beta/cachedContents", "path"),
        ("GET", "/v1beta/files", "path"),
        ("POST", "/upload/v1beta/files", "path"),
        ("GET", GENERATE, "method"),
        ("POST", "/v1beta/models", "method"),
    ],
)
def test_other_paths_are_refused(method: str, path: str, code: str) -> None:
    with pytest.raises(RefusalError) as refused:
        rules.check_path(method, path)
    assert refused.value.code == code


def test_the_list_of_models_is_free() -> None:
    rules.check_path("GET", "/v1beta/models")
    forward = rebuild_request("GET", "/v1beta/models", b"", {"small"})
    assert (forward.path, forward.free, forward.protocol) == ("/models", True, Protocol.GEMINI)


def test_the_key_has_its_own_header() -> None:
    headers = rules.request_headers([("x-goog-api-key", "theirs"), ("authorization", "x")], "ours", Protocol.GEMINI)
    assert headers["x-goog-api-key"] == "ours"
    assert not {"authorization", "x-api-key"} & headers.keys()


def test_both_spellings_of_a_key_are_read_and_one_is_written() -> None:
    snake = {
        "system_instruction": {"parts": {"text": "Be brief."}},
        "contents": {"role": "user", "parts": {"inline_data": {"mime_type": "image/png", "data": "AAAA"}}},
        "generation_config": {"max_output_tokens": 7, "top_p": 0.5, "thinking_config": {"thinking_budget": 0}},
        "tools": [{"function_declarations": [{"name": "a_b", "parameters": {"type": "OBJECT"}}]}],
        "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["a_b"]}},
    }
    assert upstream(snake, 7) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}],
        "generationConfig": {"maxOutputTokens": 7, "topP": 0.5, "thinkingConfig": {"thinkingBudget": 0}},
        "tools": [{"functionDeclarations": [{"name": "a_b", "parameters": {"type": "OBJECT"}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["a_b"]}},
    }


@pytest.mark.parametrize("limit", [None, -1, 0, 1.0, "100", True, [5], {"evil": 1}])
def test_a_limit_that_is_none_is_ours(limit: object) -> None:
    forward = rebuilt({**BODY, "generationConfig": {"maxOutputTokens": limit, "seed": 3}}, default_output=5000)
    assert (forward.output, forward.names_output) == (5000, False)
    assert json.loads(forward.body(700))["generationConfig"] == {"seed": 3, "maxOutputTokens": 700}
    assert json.loads(forward.body(None))["generationConfig"] == {"seed": 3}
    assert json.loads(rebuilt(BODY).body(None)) == BODY


def test_a_budget_for_thinking_is_less_than_the_answer() -> None:
    config = {"maxOutputTokens": 9000, "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 8999}}
    forward = rebuilt({**BODY, "generationConfig": config})
    sent = json.loads(forward.body(5000))["generationConfig"]
    assert sent == {"maxOutputTokens": 5000, "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 4999}}
    assert forward.least_output == 513
    for free in (0, -1):  # none, and as much as the model likes, which the answer's limit bounds too
        config = {"thinkingConfig": {"thinkingBudget": free}}
        forward = rebuilt({**BODY, "generationConfig": config})
        assert forward.least_output == 1
        assert json.loads(forward.body(5))["generationConfig"]["thinkingConfig"]["thinkingBudget"] == free
    with pytest.raises(RefusalError, match="thinkingBudget"):
        rebuilt({**BODY, "generationConfig": {"thinkingConfig": {"thinkingBudget": "8"}}})


def test_several_answers_are_counted_and_pictures_and_speech_are_not_asked_for() -> None:
    config = {"candidateCount": 3, "responseModalities": ["TEXT", "AUDIO"], "speechConfig": {"a": 1}}
    forward = rebuilt({**BODY, "generationConfig": config})
    assert forward.choices == 3
    assert json.loads(forward.body(9))["generationConfig"] == {
        "candidateCount": 3,
        "responseModalities": ["TEXT"],
        "maxOutputTokens": 9,
    }
    assert forward.dropped == ("AUDIO", "speechConfig")


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"thought": True},
        {"text": "a", "functionCall": {"name": "n"}},
        {"text": None},
        {"functionResponse": {"name": "n"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
    ],
)
def test_a_part_is_of_exactly_one_known_kind(part: dict[str, Any]) -> None:
    with pytest.raises(RefusalError) as refused:
        rebuilt({"contents": [{"parts": [part]}]})
    assert refused.value.code == "not_passed_on"
    assert "contents[0].parts[0]" in refused.value.message


def test_functions_that_are_no_longer_offered_cannot_be_asked_for() -> None:
    calling = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["a", "b"]}}
    tools: list[dict[str, Any]] = [{"functionDeclarations": [{"name": "a"}], "codeExecution": {}}, {"urlContext": {}}]
    made = upstream({**BODY, "tools": tools, "toolConfig": calling})
    assert made["tools"] == [{"functionDeclarations": [{"name": "a"}]}]
    assert made["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == ["a"]
    made = upstream({**BODY, "tools": tools[1:], "toolConfig": calling})
    assert not {"tools", "toolConfig"} & made.keys()


def test_a_whole_request_is_counted_for_the_allowed_model() -> None:
    inner = {"model": "models/evil", **BODY, "tools": [{"googleSearch": {}}], "cachedContent": ""}
    made = upstream({"generateContentRequest": inner}, path=GEMINI_COUNT)
    assert made == {"generateContentRequest": {"model": "models/small", **BODY}}
    assert rebuilt({"contents": CONTENTS}, GEMINI_COUNT).free
    with pytest.raises(RefusalError, match="exactly one"):
        rebuilt({"contents": CONTENTS, "generateContentRequest": inner | {"model": None}}, GEMINI_COUNT)


@pytest.mark.parametrize(
    ("kind", "tokens"), [("image/png", 50_000), ("application/pdf", 1_000_000), ("text/x-evil", 1_000_000)]
)
def test_what_takes_more_tokens_than_bytes_has_room_reserved(kind: str, tokens: int) -> None:
    data = {"inlineData": {"mimeType": kind, "data": "AAAA"}}
    result = {"functionResponse": {"name": "n", "response": {}, "parts": [data]}}
    for part in (data, result):
        forward = rebuilt({"contents": [{"parts": [part]}], "generationConfig": {"responseSchema": {"a": "b" * 90}}})
        assert forward.greatest_input - len(forward.rest) - tokens in range(90, 130)
    lie = {"functionCall": {"name": "n", "args": {"inlineData": {"mimeType": "image/png"}}}}
    assert rebuilt({"contents": [{"parts": [lie]}]}).hidden_input == len(b"{}")
    searching = rebuild_request(
        "POST", STREAM, json.dumps({**BODY, "tools": [{"googleSearch": {}}]}).encode(), {"small"}, web_search=True
    )
    assert searching.hidden_input >= 1_000_000


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        ("budget", 400, "INVALID_ARGUMENT"),
        ("path", 404, "NOT_FOUND"),
        ("busy", 503, "UNAVAILABLE"),
        ("timeout", 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_a_refusal_has_googles_form(code: str, status: int, name: str) -> None:
    refusal = RefusalError(code, "Stop working.")
    error = json.loads(refusal.body(Protocol.GEMINI))["error"]
    assert (error["code"], error["message"], error["status"]) == (status, "Stop working.", name)
    assert error["details"][0]["reason"] == code.upper()
    assert json.loads(refusal.event(Protocol.GEMINI).removeprefix(b"data: "))["error"] == error


USAGE = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 60,
    "toolUsePromptTokenCount": 7,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 30,
    "totalTokenCount": 157,
}


def test_thoughts_are_output_and_what_tools_gave_is_input() -> None:
    assert read_answer(json.dumps({"usageMetadata": USAGE}).encode()).tokens == Tokens(107, 50, 60, reasoning=30)
    only_thoughts = {"promptTokenCount": 9, "thoughtsTokenCount": 8, "totalTokenCount": 17}
    assert read_answer(json.dumps({"usageMetadata": only_thoughts}).encode()).tokens == Tokens(9, 8, reasoning=8)
    assert read_answer(json.dumps({"usageMetadata": {"promptTokenCount": 9}}).encode()).tokens == Tokens(9, 0)
    assert read_answer(
        json.dumps({"usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 12}}).encode()
    ).tokens == Tokens(9, 3)
    assert read_answer(b'{"usageMetadata": {"promptTokenCount": "many"}}').tokens is None


def event(text: str, usage: dict[str, int] | None = None, finish: str | None = None, **part: object) -> bytes:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text, **part}]}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    document: dict[str, Any] = {"candidates": [candidate], "modelVersion": "gemini-2.5-pro", "responseId": "a1"}
    if usage is not None:
        document["usageMetadata"] = usage
    return b"data: " + json.dumps(document).encode() + b"\r\n\r\n"


def counted(*events: bytes, cut: int = 7) -> EventCounter:
    counter = EventCounter(9)
    body = b"".join(events)
    for start in range(0, len(body), cut):
        counter.feed(body[start : start + cut])
    counter.close()
    return counter


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_the_last_event_of_a_stream_has_the_count(cut: int) -> None:
    first = {"promptTokenCount": 100, "thoughtsTokenCount": 30, "totalTokenCount": 130}
    counter = counted(event("Hm.", first, thought=True), event("a " * 9, USAGE, "STOP"), cut=cut)
    assert counter.is_final
    assert counter.tokens == Tokens(107, 50, 60, reasoning=30)


def test_a_stream_that_is_cut_is_counted_as_far_as_it_came() -> None:
    so_far = {"promptTokenCount": 100, "candidatesTokenCount": 4, "totalTokenCount": 104}
    counter = counted(event("a b c d", so_far))
    assert not counter.is_final
    assert counter.tokens == Tokens(100, 4, estimated=True)
    counter = counted(event("a b c d", so_far), event("e f g h i"))
    assert counter.tokens == Tokens(100, 7, estimated=True)
    assert counted(event("a b c d"), event("e")).tokens == Tokens(9, 2, estimated=True)


def test_a_request_that_is_blocked_has_its_count() -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}}
    counter = counted(b"data: " + json.dumps(blocked).encode() + b"\n\n")
    assert counter.is_final
    assert counter.tokens == Tokens(5, 0)


def test_what_the_interface_adds_is_not_the_models_text() -> None:
    small = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}
    assert counted(event("ok", small, "STOP", thoughtSignature="E" * 9000)).tokens == Tokens(5, 2)
    grounded = {
        "candidates": [{"content": {"parts": [{"text": "ok"}]}, "groundingMetadata": {"a": "x" * 9000}}],
        "usageMetadata": small,
    }
    assert read_answer(json.dumps(grounded).encode()).tokens == Tokens(5, 2)
    long = {"candidates": [{"content": {"parts": [{"text": "x" * 9000}]}}], "usageMetadata": small}
    assert read_answer(json.dumps(long).encode()).tokens is None, "no model writes so much with two tokens"


@pytest.mark.parametrize(
    "model", ["gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-3-pro-preview"]
)
@pytest.mark.parametrize("asked", [1_000, 200_000, 200_001, 600_000])
def test_a_call_costs_what_the_library_says_for_cache_thoughts_and_answer(model: str, asked: int) -> None:
    url = "https://generativelanguage.googleapis.com/v1beta"
    price = find_price(model, {}, api_url=url)
    assert price is not None
    usage = {
        "promptTokenCount": asked,
        "cachedContentTokenCount": asked // 2,
        "candidatesTokenCount": 300,
        "thoughtsTokenCount": 700,
        "totalTokenCount": asked + 1000,
    }
    tokens = read_answer(json.dumps({"usageMetadata": usage}).encode()).tokens
    assert tokens is not None
    billed = calc_price(
        Usage(input_tokens=asked, cache_read_tokens=asked // 2, output_tokens=1000),
        model_ref=model,
        provider_api_url=url,
    )
    assert price.cost_of(tokens) == pytest.approx(float(billed.total_price))


def test_a_cap_bounds_the_answer_and_its_thoughts() -> None:
    meter = Meter(GatewayLimits(max_tokens=2000))
    config = {"maxOutputTokens": 65_000, "thinkingConfig": {"thinkingBudget": 24_000}}
    forward = rebuilt({**BODY, "generationConfig": config})
    granted = meter.reserve(RunningCall(path=STREAM, call_id="1", model="small"), forward)
    assert granted is not None
    sent = json.loads(forward.body(granted))["generationConfig"]
    assert sent["thinkingConfig"]["thinkingBudget"] < sent["maxOutputTokens"] == granted < 2000
    tight = Meter(GatewayLimits(max_tokens=300))
    with pytest.raises(RefusalError, match="budget"):
        tight.reserve(RunningCall(path=STREAM, call_id="1", model="small"), forward)
