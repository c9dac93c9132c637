"""The warm pool's sensor with a real engine: as many wait as the settings want, and an attempt goes first."""

from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import docker
import pytest
from docker.models.containers import Container

from squire_pipelines.agents import warm
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.sensors.warm_pool import warm_pool
from tests.support.counted import counted_in
from tests.support.inspections import Inspections
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.docker

SMALL = """
[agent.limits]
memory = "256MiB"
workspace = "64MiB"
home = "32MiB"
tmp = "32MiB"
"""


@pytest.fixture
def client(quiet_pipeline: Pipeline) -> Iterator[docker.DockerClient]:
    connected = docker.from_env(timeout=60)
    yield connected
    for container in pool_of(connected, quiet_pipeline):
        container.remove(force=True)
    connected.close()


def pool_of(client: docker.DockerClient, pipeline: Pipeline) -> list[Container]:
    label = f"{warm.LABEL_HOME}={pipeline.settings.home.state}"
    return list(client.containers.list(all=True, filters={"label": label}))


def configure(pipeline: Pipeline, size: int, *overrides: str) -> None:
    text = f'[agent]\nkind = "command"\nrunner = "docker"\ncommand = ["true"]\nwarm_pool.size = {size}\n{SMALL}'
    base = (pipeline.home / "config.toml").read_text(encoding="utf-8")
    head = base.partition("[agent]")[0]
    (pipeline.home / "config.toml").write_text(head + text + "\n".join(overrides), encoding="utf-8")


def tend(pipeline: Pipeline) -> dict[str, int]:
    """Evaluate the sensor and run what it requests; what the run counted, empty when none was requested."""
    counts = {"waiting", "target", "made", "removed"}
    return {name: value for name, value in pipeline.tick(warm_pool).metadata.items() if name in counts}


def test_without_a_pool_nothing_is_asked_of_the_engine(quiet_pipeline: Pipeline) -> None:
    assert quiet_pipeline.sensor(warm_pool).skip_message == "agent.warm_pool.size is 0"


def test_it_is_filled_to_its_size_without_a_secret_and_emptied_when_it_is_not_wanted(
    quiet_pipeline: Pipeline, client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    canary = f"canary-{token_hex(20)}"
    for variable in ("SQUIRE_GITHUB_TOKEN", "SQUIRE_MODEL_KEY", "SQUIRE_WEBHOOK_SECRET"):
        monkeypatch.setenv(variable, canary)
    configure(quiet_pipeline, 3)
    assert len(quiet_pipeline.sensor(warm_pool).run_requests) == 1
    assert pool_of(client, quiet_pipeline) == []  # the sensor decides, and makes none by itself
    with Inspections() as inspections, counted_in(tmp_path / "counters") as counts:
        assert tend(quiet_pipeline) == {"waiting": 2, "target": 3, "made": 2, "removed": 0}
        assert tend(quiet_pipeline) == {"waiting": 3, "target": 3, "made": 1, "removed": 0}
        assert counts("squire_containers_started_total") == {"warm": 3}
    assert {str(container.name) for container in pool_of(client, quiet_pipeline)} <= inspections.containers.keys()
    assert inspections.with_secret([canary]) == []
    assert tend(quiet_pipeline) == {}
    assert len(pool_of(client, quiet_pipeline)) == 3
    configure(quiet_pipeline, 0)
    assert tend(quiet_pipeline) == {"waiting": 0, "target": 0, "made": 0, "removed": 3}
    assert pool_of(client, quiet_pipeline) == []
    assert not quiet_pipeline.settings.home.warm.exists()
    with quiet_pipeline.ledger.read() as tx:
        trail = audit_page(tx, subject="warm")
    assert [(entry.action, entry.detail["count"]) for entry in reversed(trail)] == [
        *(("container.started", count) for count in (2, 1)),
        ("container.stopped", 3),
    ]


def test_repositories_that_need_the_same_share_and_others_have_their_own(
    quiet_pipeline: Pipeline, client: docker.DockerClient
) -> None:
    other = f'[repository."{quiet_pipeline.repositories[0]}".agent.limits]\npids = 99\n'
    configure(quiet_pipeline, 1, other)
    assert tend(quiet_pipeline) == {"waiting": 2, "target": 2, "made": 2, "removed": 0}
    limits = {container.attrs["HostConfig"]["PidsLimit"] for container in pool_of(client, quiet_pipeline)}
    assert limits == {99, quiet_pipeline.settings.agent.limits.pids}


def test_none_is_made_while_an_attempt_waits_for_its_claim(
    quiet_pipeline: Pipeline, client: docker.DockerClient
) -> None:
    configure(quiet_pipeline, 1)
    quiet_pipeline.attempt()
    assert tend(quiet_pipeline) == {}
    assert "an attempt goes first" in quiet_pipeline.sensor(warm_pool).skip_message
    assert pool_of(client, quiet_pipeline) == []


def test_an_image_that_is_not_there_is_said_and_nothing_breaks(quiet_pipeline: Pipeline) -> None:
    configure(quiet_pipeline, 1)
    config = quiet_pipeline.home / "config.toml"
    config.write_text(config.read_text("utf-8").replace("warm_pool.size", 'image = "squire-none:none"\nwarm_pool.size'))
    message = quiet_pipeline.sensor(warm_pool).skip_message or ""
    assert message.startswith("no container waits: ")
    assert "squire-none:none" in message
