"""The engine and image scripts where nothing real is touched: every program they would call is a stand-in."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "scripts"
ANSWERS = """#!/bin/sh
case "$*" in *Client*) echo 28.0.0 ;; *Server*) echo 99.9 ;; *Size*) echo 5000000 ;; buildx*) exit 1 ;; esac
"""


def _run(script: str, *arguments: str, path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{path}:{os.environ['PATH']}", "HOME": str(path), **more}
    command = ["bash", str(SCRIPTS / script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def _program(folder: Path, name: str, text: str) -> Path:
    program = folder / name
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    return program


def test_an_engine_that_answers_is_left_alone(tmp_path: Path) -> None:
    client = _program(tmp_path, "docker", ANSWERS)
    done = _run("engine.sh", path=tmp_path, SQUIRE_DOCKER=str(client))
    assert (done.returncode, done.stdout, done.stderr) == (0, "squire: engine 99.9 answers\n", "")


def test_a_dead_docker_host_is_named_and_nothing_is_installed(tmp_path: Path) -> None:
    client = _program(tmp_path, "docker", "#!/bin/sh\nexit 1\n")
    for name in ("apt-get", "dockerd", "systemctl", "sudo"):
        _program(tmp_path, name, f"#!/bin/sh\ntouch {tmp_path}/called\n")
    host = "tcp://127.0.0.1:1"
    done = _run("engine.sh", path=tmp_path, SQUIRE_DOCKER=str(client), DOCKER_HOST=host)
    assert done.returncode == 4
    assert host in done.stderr
    assert "next: " in done.stderr
    assert not (tmp_path / "called").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="starting an engine needs root")
def test_an_engine_that_never_answers_is_given_up_with_its_log(tmp_path: Path) -> None:
    client = _program(tmp_path, "docker", "#!/bin/sh\nexit 1\n")
    _program(tmp_path, "dockerd", "#!/bin/sh\necho no way >&2\nexit 1\n")
    _program(tmp_path, "systemctl", "#!/bin/sh\nexit 0\n")
    settings = {"SQUIRE_DOCKER": str(client), "SQUIRE_ENGINE_WAIT_S": "1", "SQUIRE_ENGINE_LOG": str(tmp_path / "log")}
    done = _run("engine.sh", path=tmp_path, **settings)
    assert done.returncode == 4
    assert "within 1 s" in done.stderr


@pytest.mark.parametrize("script", ["base-image.sh", "images.sh"])
def test_without_an_engine_the_next_step_is_make_engine(tmp_path: Path, script: str) -> None:
    client = _program(tmp_path, "docker", "#!/bin/sh\nexit 1\n")
    done = _run(script, *(["all"] if script == "images.sh" else []), path=tmp_path, SQUIRE_DOCKER=str(client))
    assert done.returncode == 4
    assert "next: make engine" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["everything"], ["--build-arg"], ["--build-arg", "novalue", "worker"]])
def test_images_says_how_it_is_used(tmp_path: Path, arguments: list[str]) -> None:
    done = _run("images.sh", *arguments, path=tmp_path)
    assert done.returncode == 2
    assert "usage: scripts/images.sh" in done.stderr


def _project(tmp_path: Path) -> Path:
    """A copy of the scripts and of the worker image's inputs."""
    root = tmp_path / "project"
    shutil.copytree(SCRIPTS, root / "scripts")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SCRIPTS.parent / "worker-image", root / "worker-image", ignore=ignore)
    return root


def _tag(root: Path, client: Path, *arguments: str) -> str:
    command = ["bash", str(root / "scripts" / "images.sh"), *arguments, "worker"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "SQUIRE_DOCKER": str(client)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.endswith(" is there, 5 MB\n")
    return done.stdout.split()[1]


def test_the_tag_follows_the_content_and_nothing_else(tmp_path: Path) -> None:
    client, root = _program(tmp_path, "docker", ANSWERS), _project(tmp_path)
    first = _tag(root, client)
    (root / "worker-image" / "README.md").write_text("changed", encoding="utf-8")
    (root / "worker-image" / "squire_worker" / "__pycache__").mkdir()
    (root / "worker-image" / "squire_worker" / "__pycache__" / "x.pyc").write_bytes(b"x")
    os.utime(root / "worker-image" / "Dockerfile")
    assert _tag(root, client) == first
    with_argument = _tag(root, client, "--build-arg", "PIP_TOOLS=")
    assert with_argument != first
    (root / "worker-image" / "squire_worker" / "agent.py").write_text("changed", encoding="utf-8")
    assert _tag(root, client) not in {first, with_argument}
