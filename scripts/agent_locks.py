"""Writes the lock files of worker-image/agents/: what npm or PyPI resolves a program and its dependencies to.

    .venv/bin/python scripts/agent_locks.py NAME VERSION

Needs npm, or uv in the environment. A lock names packages, versions and integrities, and no address, so that it can
be installed from whatever registry a machine uses. npm's lock keeps what Linux with glibc needs, on both architectures.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
AGENTS = ROOT / "worker-image" / "agents"
TIMEOUT_S = 600
KEPT = ("name", "version", "integrity", "dependencies", "optionalDependencies", "peerDependencies", "os", "cpu", "libc")
FLAGS = ("optional", "peer", "devOptional")
DEPENDENCIES = ("dependencies", "optionalDependencies", "peerDependencies")


def is_needed(path: str, entry: dict[str, Any], left_out: set[str]) -> bool:
    """Return whether a package of npm's lock can be of use in the image."""
    name = path.rpartition("node_modules/")[2]
    runs_on_linux = "linux" in entry.get("os", ["linux"])
    runs_with_glibc = "glibc" in entry.get("libc", ["glibc"]) and not name.endswith("-musl")
    has_our_processor = bool({"x64", "arm64"} & set(entry.get("cpu", ["x64"])))
    return runs_on_linux and runs_with_glibc and has_our_processor and name not in left_out


def shorten(lock: dict[str, Any], left_out: set[str]) -> dict[str, Any]:
    """Return npm's lock without other platforms' packages, and of each package what `npm ci` asks for.

    `left_out` names optional packages of no use in a container, with what only they need.
    """
    packages = {
        path: {key: value for key, value in entry.items() if key in KEPT or key in FLAGS}
        for path, entry in lock["packages"].items()
        if not path or is_needed(path, entry, left_out)
    }
    names = {path.rpartition("node_modules/")[2] for path in packages}
    for entry in packages.values():
        for kind in DEPENDENCIES:
            kept = {name: version for name, version in entry.pop(kind, {}).items() if name in names}
            if kept:
                entry[kind] = kept
    return {
        key: packages if key == "packages" else lock[key] for key in ("name", "version", "lockfileVersion", "packages")
    }


def lock_npm(program: str, package: str, version: str, left_out: set[str]) -> str:
    """Return the text of a package-lock.json. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = {"name": f"squire-{program}", "version": version, "dependencies": {package: version}}
        Path(folder, "package.json").write_text(json.dumps(manifest), encoding="utf-8")
        options = ["--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--lockfile-version=3"]
        command = ["npm", "install", *options, "--omit-lockfile-registry-resolved"]
        subprocess.run(command, cwd=folder, check=True, timeout=TIMEOUT_S, stdout=subprocess.DEVNULL)
        lock = json.loads(Path(folder, "package-lock.json").read_text(encoding="utf-8"))
    return json.dumps(shorten(lock, left_out), indent=1) + "\n"


def lock_pypi(package: str, version: str, left_out: set[str]) -> str:
    """Return the text of requirements with hashes. Raises CalledProcessError."""
    uv = str(Path(sys.executable).with_name("uv"))
    options = ["--quiet", "--universal", "--python-version=3.11", "--generate-hashes", "--no-header", "--no-annotate"]
    command = [uv, "pip", "compile", *options, "--no-strip-extras"]
    command += [f"--no-emit-package={name}" for name in sorted(left_out)] + ["-"]
    asked = f"{package}=={version} ; sys_platform == 'linux'\n"
    done = subprocess.run(command, input=asked, text=True, capture_output=True, check=True, timeout=TIMEOUT_S)
    return done.stdout


def main() -> int:
    """Write one program's lock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("version")
    arguments = parser.parse_args()
    program = tomllib.loads((AGENTS / "programs.toml").read_text(encoding="utf-8"))[arguments.name]
    left_out = set(program.get("left_out", ()))
    if program["registry"] == "npm":
        text = lock_npm(arguments.name, program["package"], arguments.version, left_out)
    else:
        text = lock_pypi(program["package"], arguments.version, left_out)
    if re.search(r"(https?|file)://", text):
        sys.stderr.write("the lock names an address\n")
        return 1
    (AGENTS / f"{arguments.name}.lock").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
