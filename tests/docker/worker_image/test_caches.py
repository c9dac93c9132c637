"""Package caches that agents share: each tool installs from them without a network, and none can change them."""

import json
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.support.containers import said_by
from tests.support.worker import Desk, make_desk

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
IMAGE = "squire-worker:test-toolchains"
# An index and a registry of one package each, served on the container's own loopback while the caches are filled.
FILL = (HERE / "cache_fill.txt").read_text(encoding="utf-8")
USE = (HERE / "cache_use.txt").read_text(encoding="utf-8")
POISON = (HERE / "cache_poison.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def toolchains(engine: docker.DockerClient) -> str:
    """The image with node and python, under a name of the tests' own."""
    assert engine.ping()
    build = [str(ROOT / "scripts" / "images.sh"), "--name", "test-toolchains", "--build-arg", "TOOLCHAINS=node python"]
    done = subprocess.run([*build, "worker"], capture_output=True, text=True, timeout=850, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout, file=sys.stderr)  # noqa: T201 - the size
    return IMAGE


@pytest.fixture(scope="module")
def caches(engine: docker.DockerClient, toolchains: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of each kind, filled without any registry of the world's."""
    folder = tmp_path_factory.mktemp("caches")
    for name in ("npm", "pnpm", "pip", "uv", "project"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    mount = {str(folder): {"bind": "/caches", "mode": "rw"}}
    made = engine.containers.run(
        toolchains, ["-c", FILL], entrypoint="sh", user="0:0", network_mode="none", volumes=mount, detach=True
    )
    code, output = made.wait(timeout=180)["StatusCode"], made.logs().decode(errors="replace")
    made.remove(force=True)
    assert code == 0, output
    return folder


def _mounts(desk: Desk, caches: Path, sandbox: Any) -> dict[str, Any]:
    mounts: dict[str, Any] = sandbox.mounts(desk)
    for kind in ("npm", "pnpm", "pip", "uv"):
        mounts["volumes"][str(caches / kind)] = {"bind": f"/var/cache/squire/{kind}", "mode": "ro"}
    mounts["volumes"][str(caches / "project")] = {"bind": "/caches-project", "mode": "ro"}
    return mounts


def _agent(sandbox: Any, caches: Path, folder: Path, command: list[str]) -> Any:
    desk = make_desk(folder, command=command)
    ended = sandbox.run(**_mounts(desk, caches, sandbox))
    assert ended.code == 0, ended
    assert desk.result()["agent_exit_code"] == 0, ended
    return ended


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_tool_installs_offline_and_no_task_can_poison_anothers(
    sandbox: Any, toolchains: str, caches: Path, tmp_path: Path
) -> None:
    object.__setattr__(sandbox, "image", toolchains)
    before = _snapshot(caches)
    assert before
    first = _agent(sandbox, caches, tmp_path / "a", ["sh", "-c", USE])
    assert first.stdout.split() == ["42"] * 5, first
    hostile = _agent(sandbox, caches, tmp_path / "b", ["python3", "-c", POISON])
    assert hostile.stdout.strip() == "tried True written 0", hostile
    after = _agent(sandbox, caches, tmp_path / "c", ["sh", "-c", USE])
    assert after.stdout.split() == ["42"] * 5, after
    assert _snapshot(caches) == before


def test_a_cache_that_is_not_mounted_changes_nothing(sandbox: Any, tmp_path: Path) -> None:
    desk = make_desk(tmp_path / "d", command=["sh", "-c", "env | grep -iE '^(npm|pnpm|pip|uv)_' || echo none"])
    assert sandbox.attempt(desk).stdout.strip() == "none"


def test_the_toolchains_are_there_and_within_their_budget(engine: docker.DockerClient, toolchains: str) -> None:
    budget = tomllib.loads((ROOT / "worker-image" / "budget.toml").read_text(encoding="utf-8"))
    assert engine.images.get(toolchains).attrs["Size"] < budget["size"]["node_python"]
    script = (
        "node --version; npm --version; pnpm --version; uv --version; python3 -m venv --help >/dev/null && echo venv"
    )
    lines = said_by(engine, toolchains, ["-c", script], entrypoint="sh").split("\n")
    assert lines[0].startswith("v24.")
    assert "venv" in lines
    bill = said_by(engine, toolchains, ["/usr/share/squire/sbom.cdx.json"], entrypoint="cat")
    purls = {component.get("purl", "").partition("@")[0] for component in json.loads(bill)["components"]}
    assert {"pkg:npm/pnpm", "pkg:npm/npm", "pkg:generic/node", "pkg:pypi/uv", "pkg:pypi/ruff"} <= purls


def test_a_toolchain_that_nobody_knows_is_refused(engine: docker.DockerClient) -> None:
    assert engine.ping()
    build = [str(ROOT / "scripts" / "images.sh"), "--name", "test-wrong", "--build-arg", "TOOLCHAINS=cobol", "worker"]
    done = subprocess.run(build, capture_output=True, text=True, timeout=850, check=False)
    assert done.returncode == 1
    assert "not cobol" in textwrap.dedent(done.stderr)
