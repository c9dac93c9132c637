"""What the reaper removes from a real engine, and what it leaves."""

import io
import tarfile
import uuid
from collections.abc import Callable, Iterator

import docker
import pytest
from docker.models.containers import Container

from squire_pipelines.agents import profile, step_containers
from squire_pipelines.domain.endings import Cause
from squire_pipelines.sensors.reaper import recovery
from tests.support.ledgers import settle, start_attempt
from tests.support.pipeline import QUIET, Pipeline

pytestmark = pytest.mark.docker
Make = Callable[..., Container]


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    connected = docker.from_env(timeout=60)
    yield connected
    connected.close()


@pytest.fixture
def make(client: docker.DockerClient) -> Iterator[Make]:
    """Make a container, not started, with these labels; all of them are gone after the test."""
    image = f"squire-test-reaper:{uuid.uuid4().hex[:12]}"
    repository, _, tag = image.partition(":")
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w"):
        pass
    client.api.import_image_from_data(empty.getvalue(), repository=repository, tag=tag)
    made: list[Container] = []

    def one(**labels: str) -> Container:
        container = client.containers.create(image, command=["/nothing"], labels=dict(labels))
        made.append(container)
        return container

    yield one
    for container in made:
        try:
            container.remove(force=True)
        except docker.errors.NotFound:
            continue
    client.images.remove(image)


def there(client: docker.DockerClient, container: Container) -> bool:
    return bool(client.containers.list(all=True, filters={"id": str(container.id)}))


def agents(attempt_id: str) -> dict[str, str]:
    return {
        profile.LABEL_ROLE: profile.ROLE_AGENT,
        profile.LABEL_ATTEMPT: attempt_id,
        profile.LABEL_TASK: "t",
        profile.LABEL_RUN: "r",
        profile.LABEL_TRACE: "f" * 32,
    }


def test_only_containers_of_attempts_of_ours_that_have_ended_are_removed(
    quiet_pipeline: Pipeline, client: docker.DockerClient, make: Make
) -> None:
    ended = start_attempt(quiet_pipeline.ledger, repository=QUIET)
    settle(quiet_pipeline.ledger, ended, Cause.AGENT_ERROR)
    running = start_attempt(quiet_pipeline.ledger, repository=QUIET)
    orphan, leased = make(**agents(ended.id)), make(**agents(running.id))
    foreign, stranger = make(**agents(f"t{uuid.uuid4().hex}-1")), make(somebody="else")
    quiet_pipeline.sensor(recovery)  # decides, and removes nothing by itself
    assert there(client, orphan)
    assert quiet_pipeline.tick(recovery).metadata["containers_removed"] == 1
    assert not there(client, orphan)
    assert all(there(client, container) for container in (leased, foreign, stranger))


def test_steps_that_ended_a_while_ago_are_removed_if_they_are_this_homes(
    quiet_pipeline: Pipeline, client: docker.DockerClient, make: Make
) -> None:
    home = quiet_pipeline.settings.home.state
    ours, others = make(**step_containers.labels(home)), make(**step_containers.labels(home / "another"))
    for container in (ours, others):
        with pytest.raises(docker.errors.APIError):  # there is no such program: it ends at once
            container.start()
    quiet_pipeline.tick(recovery)
    assert there(client, ours)  # the executor may still ask for it
    assert step_containers.remove_ended(client, home, older_than_s=0) in {0, 1}
    assert there(client, others)
