"""The worker image as the supervisor runs it: hardened, without a network, as any uid."""

import json
import re
import statistics
import time
import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
import pytest

from squire_pipelines.agents.sbom import SBOM, read_file, read_sbom
from squire_pipelines.errors import ImageMissingError, NotFoundError
from tests.support.worker import Desk, make_desk

pytestmark = pytest.mark.docker

DeskFor = Callable[..., Desk]
ROOT = Path(__file__).parents[3]
BUDGET: dict[str, Any] = tomllib.loads((ROOT / "worker-image" / "budget.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("uid", [10001, 54321])
def test_a_command_agent_works_as_any_user(desk_for: DeskFor, sandbox: Any, uid: int) -> None:
    desk = desk_for(["ruff", "check", "--fix", "--quiet", "app.py"])
    ended = sandbox.attempt(desk, uid=uid)
    result = desk.result()
    assert (ended.code, result["status"], result["agent_exit_code"]) == (0, "changed", 0), ended
    assert desk.log() == ["squire-bot: Do the task"]
    assert (desk.out / "result.json").stat().st_uid == uid


def test_the_repositorys_files_are_fixed_by_the_linter(desk_for: DeskFor, sandbox: Any) -> None:
    desk = desk_for(["sh", "-c", "ruff check --fix --quiet . && cat app.py && id -u && touch /etc/x"])
    ended = sandbox.attempt(desk)
    assert ended.stdout.split() == ["print('hello')", "10001"]
    assert "Read-only file system" in ended.stderr
    assert ended.code == desk.result()["agent_exit_code"] == 1


def test_there_is_no_way_out_but_the_loopback(desk_for: DeskFor, sandbox: Any) -> None:
    desk = desk_for(["python3", "-c", "import socket; print(sorted(n for _, n in socket.if_nameindex()))"])
    assert sandbox.attempt(desk).stdout == "['lo']\n"


def test_there_is_nothing_of_squires_and_no_way_to_the_engine(desk_for: DeskFor, sandbox: Any) -> None:
    script = (
        "import importlib.util, pathlib\n"
        "print([name for name in ('dagster', 'squire_pipelines', 'docker') if importlib.util.find_spec(name)])\n"
        "print([str(p) for place in ('/run', '/var/run', '/in', '/out') for p in pathlib.Path(place).rglob('*.sock')])"
    )
    desk = desk_for(["python3", "-c", script])
    assert sandbox.attempt(desk).stdout == "[]\n[]\n"


def test_a_missing_agent_is_127_with_its_name(desk_for: DeskFor, sandbox: Any) -> None:
    desk = desk_for(["no-such-agent"])
    assert sandbox.attempt(desk).code == 127
    assert desk.result()["error"]["code"] == "agent_not_found"


def test_stopping_the_container_is_143_and_says_so(desk_for: DeskFor, sandbox: Any) -> None:
    desk = desk_for(["sh", "-c", "echo ready; sleep 60"])
    container = sandbox.start(**sandbox.mounts(desk))
    lines = container.logs(stream=True, follow=True, stderr=False)
    assert next(lines) == b"ready\n"
    container.stop(timeout=20)
    assert list(lines) == []
    assert container.wait(timeout=20)["StatusCode"] == 143
    assert desk.result()["error"]["code"] == "terminated"
    assert not desk.has_bundle


def test_the_image_is_small_and_says_what_it_is(engine: docker.DockerClient, worker_image: str) -> None:
    image = engine.images.get(worker_image)
    size = image.attrs["Size"]
    print(f"squire-worker: {size / 1e6:.0f} MB")  # noqa: T201 - a figure for the reader
    assert size < BUDGET["size"]["default"]
    assert image.attrs["Config"]["User"] == "10001:10001"
    assert image.labels["org.opencontainers.image.title"] == "squire-worker"
    assert image.labels["org.opencontainers.image.base.name"] == "debian:bookworm-slim"
    assert image.labels["org.opencontainers.image.base.digest"].startswith("sha256:")


def test_no_program_in_the_image_can_raise_privileges(sandbox: Any) -> None:
    find = ["find", "/", "-xdev", "-type", "f", "-perm", "/6000"]
    ended = sandbox.run(entrypoint=find, command=[])
    assert ended.stdout.split() == []


def test_an_agent_starts_within_the_budget(sandbox: Any, tmp_path: Path) -> None:
    whole, ours, bare = [], [], []
    for number in range(10):
        desk = make_desk(tmp_path / str(number), command=["true"])
        began, wall = time.monotonic(), time.time()
        ended = sandbox.attempt(desk)
        assert ended.code == 0, ended
        timings = desk.result()["timings"]
        started = datetime.fromisoformat(timings["agent_start"]).timestamp()
        whole.append(min(started - wall, time.monotonic() - began))
        ours.append(timings["clone_s"])
        began = time.monotonic()
        sandbox.engine.containers.run(sandbox.image, ["true"], entrypoint="", network_mode="none", remove=True)
        bare.append(time.monotonic() - began)
    start, clone, nothing = (statistics.median(times) for times in (whole, ours, bare))
    print(f"create to agent: {start:.2f} s, of which the clone {clone:.2f} s; bare {nothing:.2f} s")  # noqa: T201 - for the reader
    slower = max(1.0, nothing / BUDGET["start"]["bare_p50_s"])
    assert start < BUDGET["start"]["agent_p50_s"] * slower
    assert clone < BUDGET["start"]["clone_p50_s"] * slower


def test_the_image_carries_its_bill_of_materials(engine: docker.DockerClient, worker_image: str) -> None:
    bill = json.loads(read_sbom(engine, worker_image))
    assert len(bill["components"]) >= BUDGET["sbom"]["components_min"]
    purls = {component.get("purl", "").partition("@")[0] for component in bill["components"]}
    assert {"pkg:deb/debian/git", "pkg:deb/debian/socat", "pkg:pypi/ruff", "pkg:npm/opencode-ai"} <= purls
    # Those of other images may be read at the same time.
    left = engine.api.containers(all=True, filters={"label": "squire.role=sbom"})
    assert not [container for container in left if container["Image"] == worker_image]
    installed = re.findall(r"^Package: (\S+)$", read_file(engine, worker_image, "/var/lib/dpkg/status"), re.MULTILINE)
    debian = {component["name"] for component in bill["components"] if component.get("purl", "").startswith("pkg:deb/")}
    assert debian == set(installed)
    written = json.loads((ROOT / "build" / "sbom" / "squire-worker.cdx.json").read_text(encoding="utf-8"))
    assert written["bomFormat"] == "CycloneDX"


def test_an_image_without_a_bill_and_one_that_is_not_there_are_told_apart(engine: docker.DockerClient) -> None:
    with pytest.raises(ImageMissingError, match="is not on the engine"):
        read_sbom(engine, "squire-test-none:none")
    with pytest.raises(NotFoundError, match=SBOM):
        read_sbom(engine, "debian:bookworm-slim")
