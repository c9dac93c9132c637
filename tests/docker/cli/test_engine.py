import io
import json
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest

from squire_pipelines.agents import engine
from squire_pipelines.agents.preflight import CONTRACT, CONTRACT_LABEL
from squire_pipelines.errors import EngineError
from tests.support.cli import Squire

pytestmark = pytest.mark.docker


@pytest.fixture
def squire(tmp_path: Path) -> Squire:
    return Squire(tmp_path / "home")  # where the environment of every test points


@pytest.fixture
def image() -> Iterator[str]:
    """The name of an image with nothing in it but an entrypoint and the label, without which none is a worker's."""
    name = f"squire-test-cli:{uuid.uuid4().hex[:12]}"
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w"):
        pass
    client = docker.from_env(timeout=30)
    repository, _, tag = name.partition(":")
    client.api.import_image_from_data(
        empty.getvalue(),
        repository=repository,
        tag=tag,
        changes=['ENTRYPOINT ["/none"]', f"LABEL {CONTRACT_LABEL}={CONTRACT}"],
    )
    yield name
    client.images.remove(name)
    client.close()


def test_the_engine_and_an_image_are_found(squire: Squire, image: str) -> None:
    squire.config(f'[agent]\nimage = "{image}"\nkind = "command"\ncommand = ["true"]\n')
    place = squire.json("agents", "list")
    assert (place["runner"], place["sandboxed"], place["problem"]) == ("docker", True, "")
    assert place["image_id"].startswith("sha256:")
    assert "in a container" in squire.ok("agents", "list")
    statuses = {row["name"]: row["status"] for row in json.loads(squire("doctor", "--json").stdout)}
    assert (statuses["engine"], statuses["image"], statuses["runner"]) == ("ok", "ok", "ok")


def test_an_image_that_is_missing_is_told_with_the_next_step(squire: Squire) -> None:
    squire.config('[agent]\nimage = "squire-test-none:none"\n')
    place = squire.json("agents", "list")
    assert place["image_id"] is None
    assert "is not on the engine" in place["problem"]
    assert "not there" in squire.ok("agents", "list")
    result = squire("doctor", "--json")
    assert result.exit_code == 1
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert rows["image"]["status"] == "fail"
    assert rows["image"]["next_step"]


def test_an_image_name_that_the_engine_refuses_is_told() -> None:
    with closing(engine.connect(30)) as client, pytest.raises(EngineError, match="does not say whether it has"):
        engine.image_attributes(client, "No Such:Name!")
