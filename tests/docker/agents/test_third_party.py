"""The documented example of an agent from a package, installed for real and run through the container."""

import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.agent_names import known, names
from squire_pipelines.agents.adapters.protocol import Agent, AgentConfig
from squire_pipelines.agents.adapters.registry import find, provider_of
from squire_pipelines.agents.adapters.session import FILE, read
from squire_pipelines.agents.adapters.transcript import ToolCall
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.agents.model import RunResult
from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import ConfigError
from squire_pipelines.gateway.server import Gateway, socket_directory
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import GatewayConfig
from squire_pipelines.sections.agents import AgentSettings
from tests.support.attempts import Origin, go_on
from tests.support.model_server import ModelServer, Turn

pytestmark = pytest.mark.docker
EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "squire-oneshot"
ORDER = AgentConfig(model="scripted", options={"file": "README.md"})


@pytest.fixture(scope="module")
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package in a folder of its own on the path, as pip or uv install it."""
    folder = tmp_path_factory.mktemp("package")
    source = shutil.copytree(EXAMPLE, folder / "source")
    target = folder / "site"
    options = ["--quiet", "--offline", "--no-deps", "--no-build-isolation", "--target", str(target)]
    install = [sys.executable, "-m", "uv", "pip", "install", *options, str(source)]
    done = subprocess.run(install, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    sys.path.insert(0, str(target))
    importlib.invalidate_caches()
    yield
    sys.path.remove(str(target))
    sys.modules.pop("squire_oneshot", None)
    find.cache_clear()


@pytest.fixture
def agent(_installed: None) -> Agent:
    return find("oneshot")


def test_settings_may_name_it_and_it_checks_its_own(agent: Agent) -> None:
    assert "oneshot" in names()
    assert AgentSettings(kind="oneshot").kind == known("oneshot") == "oneshot"
    assert provider_of("oneshot") == "squire-oneshot 0.2.0"
    agent.check(ORDER)
    with pytest.raises(ConfigError, match=r"agent\.options\.file"):
        agent.check(AgentConfig(model="m"))


def _run(agent: Agent, runner: DockerRunner, origin: Origin, folder: Path, *, attempt_id: str, url: str) -> RunResult:
    inputs = origin.prepared(folder, agent=agent, order=ORDER, attempt_id=attempt_id, prompt="Greet.")
    with (
        socket_directory() as path,
        Gateway(path, GatewayConfig("a1", (Upstream(url, "sk-" + "k" * 20, ("scripted",)),))),
    ):
        return runner.run(inputs, heartbeat=go_on, gateway_socket=path)


def test_it_works_through_the_container_and_its_transcript_is_kept(
    agent: Agent, runner: DockerRunner, origin: Origin, tmp_path: Path, attempt_id: str
) -> None:
    with ModelServer([Turn(text="Hello from a model.\n", prompt_tokens=30, completion_tokens=4)]) as model:
        run = _run(agent, runner, origin, tmp_path, attempt_id=attempt_id, url=model.url)
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert run.bundle is not None
    assert origin.file_after(run.bundle, "squire/t000000001-do-it", "README.md") == "Hello from a model."
    facts = run.ending.evidence.session
    assert isinstance(facts, dict)
    assert (facts["input_tokens"], facts["output_tokens"], facts["tool_calls"]) == (30, 4, 1)
    entries = list(read(tmp_path / "attempt" / "keep" / FILE))
    assert [entry.kind for entry in entries] == ["step", "tool"]
    assert isinstance(entries[1], ToolCall)
    assert entries[1].input == "README.md"
    assert "Greet." in model.main_requests[0].text


def test_its_own_rule_judges_it(
    agent: Agent, runner: DockerRunner, origin: Origin, tmp_path: Path, attempt_id: str
) -> None:
    with ModelServer([Turn(status=500)]) as model:
        run = _run(agent, runner, origin, tmp_path, attempt_id=attempt_id, url=model.url)
    assert run.ending.cause is Cause.PROVIDER_ERROR, run.ending
    assert run.ending.message.startswith("oneshot: ")
