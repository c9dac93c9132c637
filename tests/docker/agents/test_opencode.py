"""OpenCode in its container, through the host's side of everything: runner, gateway, a scripted model."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.agents.model import RunResult
from squire_pipelines.agents.opencode import summarize
from squire_pipelines.domain.endings import Cause
from squire_pipelines.gateway.model import GatewayCall, GatewayLimits
from squire_pipelines.gateway.server import Gateway, SocketDirectory
from tests.support.attempts import MIB, Origin, small_limits
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.provider import plain, serve_upstream

pytestmark = pytest.mark.docker
KEY = "sk-" + "k" * 30
LIMITS = {
    "memory": 2048 * MIB,
    "workspace": 256 * MIB,
    "home": 256 * MIB,
    "tmp": 256 * MIB,
    "pids": 256,
    "open_files": 4096,
}


class Session:
    """One attempt of OpenCode and what the gateway has recorded of it."""

    def __init__(self, run: RunResult, calls: list[GatewayCall], log: str) -> None:
        self.run = run
        self.calls = calls
        self.log = log


Play = Callable[..., Session]


@pytest.fixture
def play(runner: DockerRunner, origin: Origin, tmp_path: Path, attempt_id: str) -> Play:
    def session(url: str, *, failures: int = 100, limits: GatewayLimits | None = None) -> Session:
        inputs = origin.prepared(
            tmp_path,
            model="scripted",
            attempt_id=attempt_id,
            prompt="Add a line to README.md.",
            limits=small_limits(**LIMITS, wall_clock_s=120),
        )
        calls: list[GatewayCall] = []
        lock = threading.Lock()

        def on_call(call: GatewayCall) -> None:
            with lock:
                calls.append(call)

        def heartbeat() -> bool:
            with lock:
                return sum(call.error is not None for call in calls) < failures

        with (
            SocketDirectory() as path,
            Gateway(path, url, KEY, {"scripted"}, on_call=on_call, limits=limits),
        ):
            run = runner.run(inputs, heartbeat=heartbeat, gateway_socket=path)
        return Session(run, calls, inputs.folder.log.read_text(encoding="utf-8"))

    return session


def test_opencode_changes_a_file_through_the_gateway_and_never_sees_the_key(play: Play, origin: Origin) -> None:
    edit = Call("bash", {"command": "echo 'by a model' >> README.md; env", "description": "append a line"})
    with ModelServer([Turn(calls=(edit,), prompt_tokens=50, completion_tokens=7), Turn(text="Done.")]) as model:
        session = play(model.url)
        requests = model.requests
    run = session.run
    assert run.ending.cause is Cause.COMPLETED, (run.ending, session.log[-3000:])
    assert run.bundle is not None
    assert "by a model" in origin.file_after(run.bundle, "squire/t000000001-do-it", "README.md")
    assert requests
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in requests)
    assert KEY not in session.log
    chat = [call for call in session.calls if call.model == "scripted"]
    assert sum(call.input_tokens or 0 for call in chat) >= 150
    assert all(call.error is None for call in chat)
    summary = summarize(session.log.splitlines())
    assert summary.session_id is not None
    assert summary.tool_calls == 1
    assert summary.steps >= 2
    assert summary.input_tokens >= 50
    facts = run.ending.evidence.facts["opencode"]
    assert isinstance(facts, dict)
    assert facts["tool_calls"] == 1
    assert "agent_version" in run.ending.evidence.facts


def test_a_provider_that_refuses_is_a_provider_error(play: Play) -> None:
    with serve_upstream() as provider:
        error = {"message": "Incorrect API key", "type": "invalid_request_error", "code": "invalid_api_key"}
        provider.answer = plain(401, {"error": error})
        session = play(provider.url)
    assert session.run.ending.cause is Cause.PROVIDER_ERROR, (session.run.ending, session.log[-3000:])
    assert session.run.ending.transient
    assert {call.status for call in session.calls} == {401}


def test_opencode_that_asks_again_for_ever_can_be_cancelled(play: Play) -> None:
    with ModelServer([Turn(text="overloaded", status=500)] * 200) as model:
        session = play(model.url, failures=2)
    assert session.run.ending.cause is Cause.CANCELLED, session.run.ending
    assert [call.status for call in session.calls if call.error] == [500, 500]


def test_a_spent_budget_of_calls_ends_the_session(play: Play) -> None:
    call = Call("bash", {"command": "true", "description": "nothing"})
    with ModelServer([Turn(calls=(call,))] * 20) as model:
        session = play(model.url, limits=GatewayLimits(max_calls=4))
    assert session.run.ending.cause is Cause.PROVIDER_ERROR, (session.run.ending, session.log[-3000:])
    assert any(call.error == "budget" for call in session.calls)
