"""The pipeline on a forge, an engine, and the pipeline's image with the code as it is now."""

import io
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.support.forge import forge, forge_home, hosted_home, samples
from tests.support.pipeline import pipeline, quiet_pipeline

__all__ = ["forge", "forge_home", "hosted_home", "pipeline", "quiet_pipeline", "samples"]
PACKAGE = Path(__file__).parents[3] / "squire_pipelines"
RECIPE = b"FROM squire-pipeline:latest\nCOPY squire_pipelines /opt/squire/lib/python/squire_pipelines\n"


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    connected = docker.from_env(timeout=60)
    yield connected
    connected.close()


@pytest.fixture(scope="session")
def image(client: docker.DockerClient) -> Iterator[str]:
    """Our own code over the image's dependencies: a layer, where building the image takes a minute."""
    try:
        client.images.get("squire-pipeline:latest")
    except docker.errors.ImageNotFound:
        pytest.skip("scripts/images.sh pipeline has not been run")
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        recipe = tarfile.TarInfo("Dockerfile")
        recipe.size = len(RECIPE)
        archive.addfile(recipe, io.BytesIO(RECIPE))
        for path in sorted(PACKAGE.rglob("*.py")):
            archive.add(path, str(path.relative_to(PACKAGE.parent)))
    context.seek(0)
    name = f"squire-test-gateway:{uuid.uuid4().hex[:12]}"
    client.images.build(fileobj=context, custom_context=True, tag=name, rm=True)
    yield name
    client.images.remove(name, force=True)
