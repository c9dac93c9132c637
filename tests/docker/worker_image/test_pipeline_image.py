"""The image of Dagster's step containers: our package and its console commands, as any uid."""

import docker
import pytest

from tests.support.containers import said_by

pytestmark = pytest.mark.docker

SIZE_BUDGET_BYTES = 850_000_000


@pytest.mark.parametrize("user", ["10001:10001", "54321:54321"])
def test_dagster_and_our_package_are_there_for_any_user(
    engine: docker.DockerClient, pipeline_image: str, user: str
) -> None:
    script = (
        "set -e; dagster --version; cd /tmp; python -c 'import squire_pipelines, dagster_docker; print(\"imported\")';"
        " command -v squire; git --version; python -c 'import getpass; print(getpass.getuser())'"
    )
    text = said_by(engine, pipeline_image, ["sh", "-c", script], user=user, cap_drop=["ALL"])
    assert "dagster, version 1.13" in text
    assert "imported" in text
    assert "/opt/squire/bin/squire" in text


def test_the_workers_files_come_with_the_package(engine: docker.DockerClient, pipeline_image: str) -> None:
    script = "from squire_pipelines.agents.worker_files import worker_file; print(worker_file('seccomp.json'))"
    command = ["python", "-c", script]
    assert said_by(engine, pipeline_image, command).strip().endswith("seccomp.json")


def test_the_image_is_within_its_budget(engine: docker.DockerClient, pipeline_image: str) -> None:
    size = engine.images.get(pipeline_image).attrs["Size"]
    print(f"squire-pipeline: {size / 1e6:.0f} MB")  # noqa: T201 - a figure for the reader
    assert size < SIZE_BUDGET_BYTES
