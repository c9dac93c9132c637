"""Fixtures for the Docker runner on a real engine with the worker's image."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from squire_pipelines.agents import engine
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.errors import EngineError
from tests.support.attempts import Origin, make_origin


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    """A client of the engine; the tests need it and the worker's image."""
    try:
        connected = engine.connect(60)
    except EngineError as error:
        pytest.skip(str(error))
    yield connected
    connected.close()


@pytest.fixture
def runner(client: docker.DockerClient) -> DockerRunner:
    return DockerRunner(client)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return make_origin(tmp_path)


@pytest.fixture
def attempt_id(client: docker.DockerClient, tmp_path: Path) -> Iterator[str]:
    """An id of the test's own; whatever container it left is removed."""
    name = f"test-{abs(hash(str(tmp_path))):x}-1"
    yield name
    for container in client.containers.list(all=True, filters={"name": f"squire-{name}"}):
        container.remove(force=True)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose name leaves room for a socket's."""
    with tempfile.TemporaryDirectory(prefix="sq-") as folder:
        yield Path(folder)
