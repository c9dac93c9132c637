"""Runs the Docker tests on another engine than the machine's, or with another runtime: `make test-engine`.

`python -m tests.support.other_engine gvisor|podman [pytest's arguments]` starts the engine, copies the images to it,
runs the tests with `DOCKER_HOST`, and leaves nothing of it. Which tests then fail, and why: docs/reference/runtimes.md.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.own_engine import OwnEngine, why_not

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ("squire-worker:latest",)
TESTS = ("tests/docker/agents", "tests/docker/gateway", "tests/docker/execution")
RUNSC_ARGUMENTS = ("--network=none", "--host-uds=open", "--host-fifo=open", "--oci-seccomp")
"""What agents need of gVisor, see docs/reference/runtimes.md."""

_START_S = 60.0
_CANNOT = 4


@contextlib.contextmanager
def gvisor() -> Iterator[str]:
    """Yield the address of a Docker engine of our own whose containers run in gVisor."""
    arguments = [f"--platform={os.environ.get('SQUIRE_TEST_RUNSC_PLATFORM', 'ptrace')}", *RUNSC_ARGUMENTS]
    runtimes = {"runsc": {"path": shutil.which("runsc"), "runtimeArgs": arguments}}
    engine = OwnEngine()
    config = engine.folder / "daemon.json"
    config.write_text(json.dumps({"runtimes": runtimes, "default-runtime": "runsc"}), encoding="utf-8")
    try:
        engine.start("--config-file", str(config))
        for image in IMAGES:
            engine.load(image)
        yield engine.host
    finally:
        engine.__exit__()


@contextlib.contextmanager
def podman() -> Iterator[str]:
    """Yield the address of Docker's API as Podman serves it, with a storage of its own."""
    with tempfile.TemporaryDirectory(prefix="sqp-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        host = f"unix://{folder}/p.sock"
        own = ["podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--tmpdir", f"{folder}/engine"]
        own += ["--cgroup-manager=cgroupfs", "--events-backend=file"]

        def podman_does(*words: str) -> None:
            subprocess.run([*own, *words], check=False, capture_output=True, timeout=120)

        for image in IMAGES:
            with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as save:
                subprocess.run([*own, "load", "-q"], stdin=save.stdout, check=True, capture_output=True, timeout=300)
        with (folder / "log").open("ab") as log:
            command = [*own, "system", "service", "--time=0", host]
            service = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)  # conmon leaves files there
        try:
            _wait_for(folder / "p.sock", service)
            yield host
        finally:
            podman_does("rm", "--all", "--force")
            service.send_signal(signal.SIGTERM)
            service.wait(30)
            podman_does("system", "reset", "--force")
            subprocess.run(["umount", "-l", f"{folder}/root/overlay"], check=False, capture_output=True, timeout=60)


def _wait_for(socket: Path, service: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while not socket.exists():
        if service.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"podman does not serve: see {socket.parent}/log")
        time.sleep(0.1)


ENGINES = {"gvisor": (gvisor, "runsc"), "podman": (podman, "podman")}


def main(words: Sequence[str]) -> int:
    """Run the tests on the engine that the first word names; return pytest's exit code."""
    name, *rest = words or ("",)
    if name not in ENGINES:
        raise SystemExit(f"name one of {', '.join(ENGINES)}")
    engine, program = ENGINES[name]
    problem = why_not() or (None if shutil.which(program) else f"there is no {program} on the path")
    if problem is not None:
        sys.stderr.write(f"{name}: {problem}\n")
        return _CANNOT
    with engine() as host:
        sys.stdout.write(f"{name} answers at {host}\n")
        sys.stdout.flush()
        command = [sys.executable, "-m", "pytest", *(rest or TESTS), "-q", "--no-header"]
        environment = {**os.environ, "DOCKER_HOST": host, "SQUIRE_TEST_OTHER_ENGINE": name}
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
