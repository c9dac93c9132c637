"""What an agent's container can do, tried from inside on the real engine; and that the probe sees a weaker profile."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from squire_pipelines.agents import engine
from squire_pipelines.agents.probe import run_probe
from squire_pipelines.sections.agents import AgentSettings

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    engine_client = engine.connect(60, image=AgentSettings().image)
    yield engine_client
    engine_client.close()


def test_nothing_that_must_be_denied_is_permitted(client: docker.DockerClient) -> None:
    tried = run_probe(client, AgentSettings(kind="command", command=("true",)))
    assert [result for result in tried if not result.ok] == []
    kinds = Counter(result.kind for result in tried)
    assert len(tried) > 100
    assert len(kinds) >= 5, kinds


def test_a_profile_that_permits_everything_is_found_out(client: docker.DockerClient, tmp_path: Path) -> None:
    weak = tmp_path / "seccomp.json"
    weak.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW"}))
    tried = run_probe(client, AgentSettings(kind="command", command=("true",), seccomp=weak))
    wrong = {result.name for result in tried if not result.ok}
    assert wrong
    assert all(result.ok for result in tried if result.kind == "capability")
