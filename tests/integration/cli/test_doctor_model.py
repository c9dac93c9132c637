"""`squire doctor --model` asks each model a tiny question in a given form, and counts what it cost."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.support.cli import SampleData, Squire
from tests.support.provider import Answer, DirectedProvider, plain, serve_upstream

pytestmark = pytest.mark.slow
KEY = "k" * 30


@pytest.fixture
def upstream() -> Iterator[DirectedProvider]:
    with serve_upstream() as made:
        yield made


def answering(**content: object) -> Answer:
    """Answers the list of models with one, and a question with a call of the tool for answers."""
    call = {"name": "final_result", "arguments": json.dumps(content)}
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": call}]}
    completion = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "big",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100},
    }

    def write(handler: BaseHTTPRequestHandler) -> None:
        plain(200, completion if handler.command == "POST" else {"id": "big"})(handler)

    return write


def doctor(squire: Squire, upstream: DirectedProvider, *words: str) -> dict[str, dict[str, str]]:
    squire.config(
        f'[planner]\nkind = "llm"\nprovider = "own"\nmodel = "big"\n[agent]\nkind = "command"\ncommand = ["true"]\n'
        f'[providers.own]\nprotocol = "openai"\nbase_url = "{upstream.url}"\n'
        "prices.big = { input = 1.0, output = 1.0 }\n"
    )
    result = squire("doctor", "--json", *words)
    assert result.stdout, (result.stderr, result.exception)
    rows: list[dict[str, str]] = json.loads(result.stdout)
    return {row["name"]: row for row in rows}


def test_a_model_is_asked_once_within_bounds_and_what_it_cost_is_recorded(
    squire: Squire, samples: SampleData, upstream: DirectedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_OWN_KEY", KEY)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    upstream.answer = answering(word="squire", letters=6)
    assert "planner's answer" not in doctor(squire, upstream)
    assert [request.method for request in upstream.seen] == ["GET"], "without the option nothing is paid for"
    rows = doctor(squire, upstream, "--model")
    assert rows["planner's answer"]["status"] == "ok"
    assert "100 tokens" in rows["planner's answer"]["message"]
    (question,) = (request for request in upstream.seen if request.method == "POST")
    body: dict[str, Any] = json.loads(question.body)
    assert 0 < int(body.get("max_completion_tokens") or body.get("max_tokens") or 0) <= 2048
    with samples.ledger.read() as tx:
        query = "SELECT model, provider, input_tokens, cost_usd, ok FROM model_calls"
        calls = tx.connection.exec_driver_sql(query).all()
        open_budgets = tx.connection.exec_driver_sql("SELECT 1 FROM budgets WHERE state = 'open'").all()
    assert [tuple(call) for call in calls] == [("big", "own", 90, 0.0001, 1)]
    assert open_budgets == []


def test_a_model_that_does_not_keep_to_the_form_fails_after_two_answers(
    squire: Squire, upstream: DirectedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_OWN_KEY", KEY)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    upstream.answer = answering(word="knight", letters=6)
    row = doctor(squire, upstream, "--model")["planner's answer"]
    assert row["status"] == "fail"
    assert len([request for request in upstream.seen if request.method == "POST"]) == 2
    assert KEY not in json.dumps(row)
