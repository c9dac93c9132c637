"""What an attempt is given before its agent starts: its settings, and the gateway to the model."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from squire_pipelines.agents.agent_config import check_agent
from squire_pipelines.errors import ConfigError
from squire_pipelines.execution.gateway_session import open_gateway
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.workspace import agent_title
from squire_pipelines.ledger.heartbeat import Heartbeat
from squire_pipelines.ledger.tables import model_calls
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.trusted_certificates import tls_context
from tests.support.ledgers import claim, token_of
from tests.support.model_server import ModelServer, Turn
from tests.support.pipeline import QUIET, Pipeline


def lease(pipeline: Pipeline) -> LeasedAttempt:
    attempt = claim(pipeline.ledger, pipeline.attempt(QUIET).id)
    token = token_of(attempt)
    heartbeat = Heartbeat(pipeline.ledger, attempt.id, token, lease_s=60)
    task = pipeline.read_task(attempt.task_id)
    return LeasedAttempt(attempt, task, token, pipeline.ledger, pipeline.settings, heartbeat)


def configure(pipeline: Pipeline, agent: str) -> None:
    pipeline.configure()
    text = (pipeline.home / "config.toml").read_text(encoding="utf-8")
    (pipeline.home / "config.toml").write_text(text.replace('kind = "command"', agent), encoding="utf-8")


def test_a_command_gets_no_gateway(quiet_pipeline: Pipeline) -> None:
    leased = lease(quiet_pipeline)
    with open_gateway(leased, quiet_pipeline.settings) as gateway:
        assert gateway is None
    assert agent_title(quiet_pipeline.settings.agent_for(QUIET)) == "command:true"


@pytest.mark.slow
@pytest.mark.parametrize("deep", [False, True], ids=["in the home", "the home's name is too long for a socket"])
def test_each_call_of_an_agent_is_recorded_under_its_attempt(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, deep: bool
) -> None:
    key = "sk-" + "t" * 30
    monkeypatch.setenv("SQUIRE_MODEL_KEY", key)
    with ExitStack() as stack, ModelServer([Turn(text="hello", prompt_tokens=11, completion_tokens=3)]) as model:
        configure(quiet_pipeline, f'kind = "opencode"\nmodel = "scripted"\nbase_url = "{model.url}"')
        leased = lease(quiet_pipeline)
        # A socket's name is bounded: where pytest's own folders are deep, theirs would be too long as well.
        short = stack.enter_context(tempfile.TemporaryDirectory(prefix="h", dir="/tmp"))
        monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / ("x" * 100)) if deep else short)
        monkeypatch.setenv("SQUIRE_CONFIG", str(quiet_pipeline.home / "config.toml"))
        settings = quiet_pipeline.settings
        assert agent_title(settings.agent_for(QUIET)) == "opencode:scripted"
        with open_gateway(leased, settings) as gateway:
            assert gateway is not None
            if not deep:
                assert settings.home.run in gateway.socket_path.parents
            transport = httpx.HTTPTransport(verify=tls_context(), uds=str(gateway.socket_path))
            with httpx.Client(transport=transport, base_url="http://gateway", timeout=30) as client:
                body = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}]}
                assert client.post("/v1/chat/completions", json=body).status_code == 200
        (asked,) = model.main_requests
        assert asked.headers["authorization"] == f"Bearer {key}"
    with quiet_pipeline.ledger.read() as tx:
        (call,) = tx.execute(select(model_calls)).all()
    assert (call.purpose, call.model, call.ok, call.status) == ("agent", "scripted", True, 200)
    assert (call.input_tokens, call.output_tokens) == (11, 3)
    assert (call.attempt_id, call.task_id, call.trace_id) == (leased.attempt.id, leased.task.id, leased.task.trace_id)


@pytest.mark.parametrize(
    ("kind", "message"), [("opencode", r"agent\.model is not set"), ("command", r"agent\.command is empty")]
)
def test_settings_with_which_no_agent_can_start_are_refused_with_what_to_set(kind: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check_agent(AgentSettings.model_validate({"kind": kind}))
    assert caught.value.hint
