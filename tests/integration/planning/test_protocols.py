"""The planner at providers of each protocol: what it sends, whose key, and what it does with a refusal."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.domain.tasks import Plan
from squire_pipelines.planning.planner import make_plan
from squire_pipelines.planning.schema import ModelCall
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.settings.model import Settings, load_settings
from tests.support.provider import DirectedProvider, plain, serve_upstream
from tests.support.signal_samples import issue
from tests.support.task_drafts import task_draft

KEY = "k" * 30
FOREIGN = "foreign-credential"
DRAFT = {"tasks": [task_draft()]}
ANSWERS: dict[str, dict[str, Any]] = {
    "openai": {
        "id": "a",
        "object": "chat.completion",
        "created": 1,
        "model": "big",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "c",
                            "type": "function",
                            "function": {"name": "final_result", "arguments": json.dumps(DRAFT)},
                        }
                    ],
                },
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107},
    },
    "anthropic": {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "big",
        "content": [{"type": "tool_use", "id": "t", "name": "final_result", "input": DRAFT}],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 7},
    },
    "gemini": {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"functionCall": {"name": "final_result", "args": DRAFT}}]},
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 7, "totalTokenCount": 107},
    },
}
PLACES = {
    "openai": ("/v1", "/v1/chat/completions", "authorization", f"Bearer {KEY}"),
    "anthropic": ("/v1", "/v1/messages", "x-api-key", KEY),
    "gemini": ("/v1beta", "/v1beta/models/big:generateContent", "x-goog-api-key", KEY),
}
REFUSALS: dict[str, tuple[int, dict[str, Any], str]] = {
    "wrong key": (401, {"error": {"code": "invalid_api_key"}}, "refuses the key own-key (401"),
    "not allowed": (403, {"error": {"type": "permission_error"}}, "refuses the key own-key (403"),
    "no model": (404, {"error": {"message": "models/big is not found"}}, "does not know the model big"),
    "no credit": (402, {"error": {"message": "pay"}}, "no quota or credit left for the key own-key (402"),
    "no quota": (
        429,
        {"error": {"code": "insufficient_quota"}},
        "no quota or credit left for the key own-key (429",
    ),
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.setenv(name, FOREIGN)  # a developer has these, for other programs


@pytest.fixture
def upstream() -> Iterator[DirectedProvider]:
    with serve_upstream() as made:
        yield made


def configure(folder: Path, upstream: DirectedProvider, protocol: str, more: str = "") -> Settings:
    root = upstream.url.removesuffix("/v1")
    path = folder / "config.toml"
    path.write_text(
        f'[providers.own]\nprotocol = "{protocol}"\nbase_url = "{root}{PLACES[protocol][0]}"\n{more}'
        '[planner]\nprovider = "own"\nmodel = "big"\nmax_retries = 0\ntimeout_s = 30\n'
    )
    return load_settings(path)


def plan(settings: Settings, calls: list[ModelCall], key: str | None = KEY) -> Plan:
    making = make_plan(
        settings,
        "o/r",
        [issue(10)],
        default_branch="main",
        covered=frozenset(),
        find_key=lambda _name: Secret(key) if key is not None else None,
        on_call=calls.append,
        reserve=lambda _provider: None,
    )
    return asyncio.run(making)


@pytest.mark.parametrize("protocol", ANSWERS)
def test_each_protocols_provider_plans_with_its_own_key_alone(
    tmp_path: Path, upstream: DirectedProvider, protocol: str
) -> None:
    upstream.answer = plain(200, ANSWERS[protocol])
    calls: list[ModelCall] = []
    made = plan(configure(tmp_path, upstream, protocol), calls)
    assert (made.planner, [task.key for task in made.tasks]) == ("llm:big", ["fix"])
    (request,) = upstream.seen
    _, path, header, value = PLACES[protocol]
    assert (request.path.partition("?")[0], request.headers[header]) == (path, value)
    assert FOREIGN not in json.dumps(request.headers) + request.path
    (call,) = calls
    assert (call.ok, call.input_tokens, call.output_tokens) == (True, 100, 7)


@pytest.mark.parametrize("protocol", ANSWERS)
def test_a_provider_without_a_key_is_sent_none_of_anybody_elses(
    tmp_path: Path, upstream: DirectedProvider, protocol: str
) -> None:
    upstream.answer = plain(200, ANSWERS[protocol])
    assert plan(configure(tmp_path, upstream, protocol), [], key=None).planner == "llm:big"
    (request,) = upstream.seen
    assert FOREIGN not in json.dumps(request.headers) + request.path


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize("protocol", ANSWERS)
def test_what_only_the_user_can_change_is_asked_once_and_told_with_the_next_step(
    tmp_path: Path, upstream: DirectedProvider, protocol: str, case: str
) -> None:
    status, body, says = REFUSALS[case]
    upstream.answer = plain(status, body)
    calls: list[ModelCall] = []
    made = plan(configure(tmp_path, upstream, protocol), calls)
    assert len(upstream.seen) == 1
    assert made.planner == "rules"
    note = made.notes[0]
    assert "the model failed (configuration)" in note
    assert says in note
    assert ("correct `model`" if case == "no model" else "`squire secrets set own-key`") in note
    assert not calls[0].ok


def test_a_key_that_is_needed_and_not_set_is_told_without_a_request(tmp_path: Path, upstream: DirectedProvider) -> None:
    calls: list[ModelCall] = []
    made = plan(configure(tmp_path, upstream, "openai", 'secret = "own-key"\n'), calls, key=None)
    assert "the provider own needs the key own-key, which is not set (run `squire secrets set own-key`" in made.notes[0]
    assert (upstream.seen, calls) == ([], [])


def test_a_limit_that_passes_is_no_fault_of_the_users(tmp_path: Path, upstream: DirectedProvider) -> None:
    upstream.answer = plain(429, {"error": {"code": "rate_limit_exceeded"}}, {"retry-after-ms": "1"})
    made = plan(configure(tmp_path, upstream, "openai"), [])
    assert len(upstream.seen) > 1
    assert "the model failed (model_unavailable)" in made.notes[0]
