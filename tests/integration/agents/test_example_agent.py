"""The documented example of an agent, run by the local runner in a repository that would rather steer it."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.agents.adapters.protocol import Agent, AgentConfig, Caps, GatewaySeen, SessionResult
from squire_pipelines.agents.adapters.transcript import SessionTotals
from squire_pipelines.agents.local_runner import LocalRunner
from squire_pipelines.domain.endings import Cause
from squire_pipelines.gateway.server import Gateway, socket_directory
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import GatewayConfig
from tests.support.attempts import go_on, make_origin
from tests.support.model_server import ModelServer, Turn
from tests.support.worker import git

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "squire-oneshot"
CONFIG = AgentConfig(model="scripted", options={"file": "README.md"}, protocol="openai", caps=Caps(tokens=500))


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    made: Agent = importlib.import_module("squire_oneshot").OneShot()
    yield made
    sys.modules.pop("squire_oneshot", None)


def test_it_gets_its_prompt_and_settings_and_the_repositorys_settings_do_not_reach_it(
    agent: Agent, tmp_path: Path
) -> None:
    origin = make_origin(tmp_path)
    steering = json.dumps({"url": "http://127.0.0.1:9/", "model": "other", "file": "secret.txt", "log": "x"})
    (origin.path / ".oneshot.json").write_text(steering, encoding="utf-8")
    git(origin.path, "add", "--all")
    git(origin.path, "commit", "--quiet", "--message=steer")
    git(origin.path, "bundle", "create", "--quiet", str(origin.bundle), "refs/heads/main")
    origin = type(origin)(origin.path, origin.bundle, git(origin.path, "rev-parse", "HEAD"))
    inputs = origin.prepared(tmp_path, agent=agent, order=CONFIG, prompt="Greet.\n" + "x" * 130_000)
    with ModelServer([Turn(text="Hello.\n")]) as model, socket_directory() as path:
        config = GatewayConfig("a1", (Upstream(model.url, "sk-" + "k" * 20, ("scripted",)),))
        with Gateway(path, config):
            run = LocalRunner().run(inputs, heartbeat=go_on, gateway_socket=path)
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert "Greet." in model.main_requests[0].text
    assert run.result is not None
    assert run.result.agent_version == "oneshot 0.2.0"
    assert run.bundle is not None
    assert origin.file_after(run.bundle, inputs.branch, "README.md") == "Hello."
    assert git(origin.path, "diff", "--name-only", origin.sha, "refs/squire/result") == "README.md"


@pytest.mark.slow
def test_what_the_gateway_saw_reaches_its_rule(agent: Agent, tmp_path: Path) -> None:
    inputs = make_origin(tmp_path).prepared(tmp_path, agent=agent, order=CONFIG, prompt="Greet.")
    with ModelServer([Turn(status=401, text="wrong key")]) as model, socket_directory() as path:
        config = GatewayConfig("a1", (Upstream(model.url, "sk-" + "k" * 20, ("scripted",)),))
        with Gateway(path, config) as gateway:
            run = LocalRunner().run(
                inputs, heartbeat=go_on, gateway_socket=path, gateway_seen=lambda: gateway.status.seen
            )
    assert run.ending.cause is Cause.CONFIGURATION, run.ending


def test_it_is_judged_by_what_the_gateway_saw(agent: Agent) -> None:
    wrong_key = GatewaySeen(calls=1, failures=1, user_fault="the provider refuses the key")
    judged = agent.judge(SessionResult(SessionTotals(), 1, changed=False, gateway=wrong_key))
    assert judged is not None
    assert (judged.fault, judged.message) == ("configuration", "oneshot: the provider refuses the key")
    silent = agent.judge(SessionResult(SessionTotals(), 0, changed=False, gateway=GatewaySeen(1, empty_answers=1)))
    assert silent is not None
    assert silent.fault == "provider"
    assert agent.judge(SessionResult(SessionTotals(), 0, changed=True, gateway=GatewaySeen(1, answers=1))) is None
