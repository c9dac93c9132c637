"""The engine and image scripts where nothing real is touched: every program they would call is a stand-in."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
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


@pytest.mark.parametrize(
    "arguments", [[], ["everything"], ["--build-arg"], ["--build-arg", "novalue", "worker"], ["--name", "a b"]]
)
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


def _scan(tmp_path: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    sbom = tmp_path / "sbom.json"
    sbom.write_text("{}", encoding="utf-8")
    for name, text in programs.items():
        _program(tmp_path, name.replace("_", "-"), f"#!/bin/sh\n{text}\n")
    return _run("scan.sh", str(sbom), path=tmp_path)


def test_without_a_scanner_nothing_was_scanned_and_that_is_no_pass(tmp_path: Path) -> None:
    if any(shutil.which(name) for name in ("grype", "trivy", "osv-scanner")):
        pytest.skip("this machine has a scanner")
    done = _scan(tmp_path)
    assert done.returncode == 4
    assert "nothing was scanned" in done.stderr


@pytest.mark.parametrize(
    ("programs", "code", "message"),
    [
        ({"grype": "exit 0"}, 0, "nothing of level high"),
        ({"grype": 'case "$1" in db) exit 0;; *) exit 2;; esac'}, 1, "known vulnerabilities of level high"),
        ({"grype": 'case "$1" in db) exit 1;; esac'}, 4, "grype has no database"),
        ({"grype": 'case "$1" in db) exit 0;; *) exit 1;; esac'}, 4, "grype failed with 1"),
    ],
)
def test_a_scanner_without_its_database_has_checked_nothing(
    tmp_path: Path, programs: dict[str, str], code: int, message: str
) -> None:
    done = _scan(tmp_path, **programs)
    assert done.returncode == code, done.stderr
    assert message in done.stdout + done.stderr


def test_a_scan_needs_a_bill_and_a_level_that_there_is(tmp_path: Path) -> None:
    assert "no bill of materials" in _run("scan.sh", str(tmp_path / "none"), path=tmp_path).stderr
    assert _run("scan.sh", path=tmp_path, SQUIRE_SCAN_SEVERITY="terrible").returncode == 2


def test_images_are_compared_by_everything_but_times() -> None:
    def listing(text: str, mtime: int) -> str:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            for name, content in (("b/file", text), ("a", ""), ("etc/hostname", text)):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mtime = len(content), mtime
                archive.addfile(entry, io.BytesIO(content.encode()))
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "a"
            archive.addfile(link)
        command = [sys.executable, str(SCRIPTS / "image_files.py")]
        return subprocess.run(
            command, input=data.getvalue(), capture_output=True, timeout=60, check=True
        ).stdout.decode()

    one = listing("x", 1)
    assert one == listing("x", 2)
    assert one != listing("y", 1)
    assert [line.split("  ")[-1] for line in one.splitlines()] == ["a", "b/file", "link"]
    assert "-> a" in one


@pytest.mark.parametrize("arguments", [[], ["one"], ["--other"], ["a", "b", "c"]])
def test_the_comparison_says_how_it_is_used(tmp_path: Path, arguments: list[str]) -> None:
    done = _run("image-diff.sh", *arguments, path=tmp_path)
    assert done.returncode == 2
    assert "usage: scripts/image-diff.sh" in done.stderr
