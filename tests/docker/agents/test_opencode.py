"""OpenCode in its container, through the host's side of everything: runner, gateway, a scripted model."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from squire_pipelines.agents.adapters.session import FILE, read
from squire_pipelines.agents.adapters.skills import read_skills, write_skills
from squire_pipelines.agents.adapters.transcript import ModelText, ToolCall, total
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.agents.model import AttemptFolder, RunResult
from squire_pipelines.domain.endings import Cause
from squire_pipelines.gateway.model import GatewayCall, GatewayLimits
from squire_pipelines.gateway.server import Gateway, socket_directory
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import GatewayConfig
from tests.support.attempts import MIB, Origin, small_limits
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.provider import DEFAULT_LIMITS, plain, serve_upstream

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


class PlayedSession:
    """One attempt of OpenCode and what the gateway has recorded of it."""

    def __init__(self, run: RunResult, calls: list[GatewayCall], folder: AttemptFolder) -> None:
        self.run = run
        self.calls = calls
        self.log = folder.log.read_text(encoding="utf-8")
        path = folder.keep / FILE
        self.transcript = list(read(path)) if path.exists() else []
        self.totals = total(self.transcript)


Play = Callable[..., PlayedSession]


@pytest.fixture
def play(runner: DockerRunner, origin: Origin, tmp_path: Path, attempt_id: str) -> Play:
    def session(
        url: str,
        *,
        failures: int = 100,
        limits: GatewayLimits = DEFAULT_LIMITS,
        wall_clock_s: float = 120,
        skills: tuple[Path, ...] = (),
    ) -> PlayedSession:
        inputs = origin.prepared(
            tmp_path,
            model="scripted",
            attempt_id=attempt_id,
            prompt="Add a line to README.md.",
            limits=small_limits(**LIMITS, wall_clock_s=wall_clock_s),
        )
        write_skills(inputs.folder.inbox, read_skills(skills))
        calls: list[GatewayCall] = []
        lock = threading.Lock()

        def on_call(call: GatewayCall) -> None:
            with lock:
                calls.append(call)

        def heartbeat() -> bool:
            with lock:
                return sum(call.error is not None for call in calls) < failures

        with (
            socket_directory() as path,
            Gateway(path, GatewayConfig("a1", (Upstream(url, KEY, ("scripted",)),), limits=limits), on_call=on_call),
        ):
            run = runner.run(inputs, heartbeat=heartbeat, gateway_socket=path)
        return PlayedSession(run, calls, inputs.folder)

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
    facts = run.ending.evidence.session
    assert isinstance(facts, dict)
    assert facts == {**session.totals.facts()}
    assert session.totals.session_id is not None
    assert (session.totals.tool_calls, session.totals.failed_tool_calls) == (1, 0)
    assert session.totals.steps >= 2
    assert session.totals.input_tokens >= 50
    (used,) = [entry for entry in session.transcript if isinstance(entry, ToolCall)]
    assert (used.tool, used.status) == ("bash", "completed")
    assert "by a model" in used.input
    assert "SQUIRE_ATTEMPT_ID" in used.output
    assert KEY not in used.output
    assert [entry.text for entry in session.transcript if isinstance(entry, ModelText)] == ["Done."]
    assert "agent_version" in run.ending.evidence.facts


# OpenCode waits twice as long after each failure: five of them take more than a minute.
FEW_FAILURES = GatewayLimits(max_failures=2)


# One that it is to give up at, and one that it is to ask again after: which status is which, the gateway's tests show.
@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [(401, "invalid_request_error", "invalid_api_key"), (503, "overloaded_error", None)],
)
def test_a_provider_that_refuses_or_fails_is_a_provider_error(
    play: Play, status: int, kind: str, code: str | None
) -> None:
    with serve_upstream() as provider:
        error = {"message": "not now", "type": kind, "code": code}
        provider.answer = plain(status, {"error": error})
        session = play(provider.url, limits=FEW_FAILURES)
    ending = session.run.ending
    assert ending.cause is Cause.PROVIDER_ERROR, (ending, session.log[-3000:])
    assert ending.transient
    calls = [call for call in session.calls if call.forwarded]
    assert {call.upstream_status for call in calls} == {status}
    # What only the user can change is a 400 of the gateway's.
    assert {call.status for call in calls} == {status if status >= 500 else 400}
    assert session.totals.fatal_error is not None
    assert session.totals.fatal_error.provider


def test_a_provider_that_refuses_connections_is_a_provider_error(play: Play) -> None:
    with serve_upstream() as provider:
        url = provider.url
    session = play(url, limits=FEW_FAILURES)
    assert session.run.ending.cause is Cause.PROVIDER_ERROR, (session.run.ending, session.log[-3000:])
    assert {call.error for call in session.calls} >= {"upstream_unreachable"}


def test_an_error_after_a_change_is_an_error_though_opencode_exits_with_0(play: Play) -> None:
    edit = Call("bash", {"command": "echo half >> README.md", "description": "half of it"})
    refusal = Turn(text="no more", status=401, error_type="invalid_request_error")
    with ModelServer([Turn(calls=(edit,)), refusal]) as model:
        session = play(model.url)
    ending = session.run.ending
    assert ending.cause is Cause.PROVIDER_ERROR, (ending, session.log[-3000:])
    assert session.totals.tool_calls == 1
    assert session.run.result is not None
    assert session.run.result.status.value == "changed"


def test_a_model_that_never_answers_ends_with_the_wall_clock(play: Play) -> None:
    with ModelServer([Turn(text="late")], delay_s=60) as model:
        session = play(model.url, wall_clock_s=8)
    assert session.run.ending.cause is Cause.TIMEOUT, session.run.ending
    assert session.run.ending.evidence.killed_by_us


def test_a_skill_can_be_read_and_nothing_else_outside_of_the_clone(play: Play, tmp_path: Path) -> None:
    skill = tmp_path / "skills" / "house"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text("Write in British English.", encoding="utf-8")
    calls = [
        Call("read", {"filePath": "/in/skills/house/SKILL.md"}),
        Call("read", {"filePath": "/etc/hostname"}),
        Call("bash", {"command": "cat $SQUIRE_SKILLS/house/SKILL.md; echo x > /in/skills/house/SKILL.md"}),
    ]
    turns = [Turn(calls=(call,)) for call in calls]
    with ModelServer([*turns, Turn(text="Read.")]) as model:
        session = play(model.url, skills=(skill,))
    used = [entry for entry in session.transcript if isinstance(entry, ToolCall)]
    assert [(entry.tool, entry.status) for entry in used] == [
        ("read", "completed"),
        ("read", "error"),
        ("bash", "completed"),
    ], (used, session.log[-3000:])
    assert "British" in used[0].output
    assert "British" in used[2].output
    assert "Read-only file system" in used[2].output


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
