"""The scripted model answers as OpenAI's API does, over both of its doors."""

import json
import tempfile
from pathlib import Path

import httpx

from squire_pipelines.trusted_certificates import tls_context
from tests.support.model_server import Call, ModelServer, Turn

CALL = Turn(calls=(Call("edit", {"path": "a.py", "text": "x" * 50}),))


def _body(*, stream: bool) -> dict[str, object]:
    message = {"role": "user", "content": "hello"}
    return {"model": "m", "messages": [message], "stream": stream, "stream_options": {"include_usage": True}}


def test_turns_are_played_in_order_and_the_script_has_an_end() -> None:
    with ModelServer([CALL, Turn(text="done")]) as model, httpx.Client(base_url=model.url) as client:
        first, second, third = (client.post("/chat/completions", json=_body(stream=False)) for _ in range(3))
    call = first.json()["choices"][0]["message"]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"path": "a.py", "text": "x" * 50}
    assert first.json()["choices"][0]["finish_reason"] == "tool_calls"
    assert second.json()["choices"][0]["message"]["content"] == "done"
    assert second.json()["usage"] == {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    assert (third.status_code, third.json()["error"]["message"]) == (500, "script is over")
    assert len(model.main_requests) == 3


def test_a_stream_carries_the_same_tool_call_and_the_usage_over_a_unix_socket() -> None:
    with tempfile.TemporaryDirectory(prefix="sq") as folder:
        path = Path(folder) / "m.sock"
        transport = httpx.HTTPTransport(verify=tls_context(), uds=str(path))
        with (
            ModelServer([CALL], socket_path=path),
            httpx.Client(transport=transport, base_url="http://model/v1", timeout=30) as client,
        ):
            lines = client.post("/chat/completions", json=_body(stream=True)).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
    calls = [
        c["choices"][0]["delta"]["tool_calls"][0]
        for c in chunks
        if c["choices"] and "tool_calls" in c["choices"][0]["delta"]
    ]
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == CALL.calls[0].arguments
    assert chunks[-1]["usage"]["total_tokens"] == 110


def test_a_failure_and_a_title_request_can_be_scripted_around() -> None:
    title = {"model": "m", "messages": [{"role": "system", "content": "You are a title generator."}]}
    turns = [Turn(status=429, text="slow down", headers={"retry-after": "7"})]
    with ModelServer(turns, delay_s=0.01) as model, httpx.Client(base_url=model.url) as client:
        assert client.post("/chat/completions", json=title).json()["choices"][0]["finish_reason"] == "stop"
        assert client.get("/models").json()["data"][0]["id"] == "scripted"
        failed = client.post("/chat/completions", json=_body(stream=True), headers={"authorization": "Bearer unused"})
    assert (failed.status_code, failed.headers["retry-after"]) == (429, "7")
    assert [request.side for request in model.requests] == [True, True, False]
    assert model.main_requests[0].headers["authorization"] == "Bearer unused"
    assert "hello" in model.main_requests[0].text
    assert model.main_requests[0].tools == set()
