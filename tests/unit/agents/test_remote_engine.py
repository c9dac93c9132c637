"""Engines that are not on this machine: where the gateway goes, and what is said where that does not help."""

from pathlib import Path

import docker
import pytest

from squire_pipelines.agents import engine, profile
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.agents.endings import engine_refusal
from squire_pipelines.agents.local_runner import LocalRunner
from squire_pipelines.agents.model import SharedSocket
from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import ConfigError
from squire_pipelines.execution import gateway_session
from squire_pipelines.sections.gateway import GatewaySettings
from tests.support.attempts import go_on, make_inputs


@pytest.mark.parametrize(
    ("host", "transport", "in_container"),
    [
        ("unix:///var/run/docker.sock", "auto", False),
        ("unix:///var/run/docker.sock", "container", True),
        ("tcp://127.0.0.1:9", "auto", True),
        ("tcp://127.0.0.1:9", "socket", False),
    ],
)
def test_the_engines_host_and_the_setting_decide_where_the_gateway_is(
    *, host: str, transport: str, in_container: bool
) -> None:
    client = docker.DockerClient(base_url=host, version="1.41")
    runner = DockerRunner(client)
    settings = GatewaySettings.model_validate({"transport": transport})
    assert gateway_session.engine_for(settings, runner) is (client if in_container else None)
    assert engine.is_local(client) is host.startswith("unix://")
    runner.close()


def test_an_agent_without_a_container_has_its_gateway_beside_it() -> None:
    assert gateway_session.engine_for(GatewaySettings(), LocalRunner()) is None
    with pytest.raises(ConfigError, match="for agents in containers"):
        gateway_session.engine_for(GatewaySettings(transport="container"), LocalRunner())


def test_the_local_runner_refuses_a_socket_that_lies_in_a_volume(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path, command=("true",))
    with pytest.raises(ConfigError, match="in a volume"):
        LocalRunner().run(inputs, heartbeat=go_on, gateway_socket=SharedSocket("v", "gateway.sock"))


def test_a_shared_socket_is_mounted_from_its_volume_read_only(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path, command=("true",))
    made = profile.create_arguments(
        inputs, image="sha256:abc", user=(10001, 10001), seccomp="{}", gateway_socket=SharedSocket("v", "gateway.sock")
    )
    (mount,) = [mount for mount in made["mounts"] if mount["Target"] == profile.GATEWAY_MOUNT]
    assert (mount["Type"], mount["Source"], mount["ReadOnly"]) == ("volume", "v", True)
    assert made["environment"]["SQUIRE_GATEWAY_SOCKET"] == "/run/squire/gateway.sock"


def test_an_engine_without_the_attempts_folder_is_named_as_such() -> None:
    explanation = 'invalid mount config for type "bind": bind source path does not exist: /home/x'
    cause, message = engine_refusal(400, explanation)
    assert cause is Cause.WORKSPACE_ERROR
    assert "SQUIRE_HOME" in message
