"""An attempt that attacks disk, memory, processes, processor and log of its host all at once, beside an honest one."""

import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import docker

from squire_pipelines.agents import profile
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.agents.model import AttemptInputs, RunResult
from tests.support.attempts import Origin, small_limits

ENGINE_PROCESSES = frozenset({"dockerd", "containerd", "containerd-shim"})
ATTACK = """
import mmap, os, signal, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def allocate(folder, unlink):
    files = []
    for number in range(100_000):
        try:
            files.append(os.open(f"{folder}/{unlink}-{number}", os.O_CREAT | os.O_RDWR))
            os.posix_fallocate(files[-1], 0, 16 << 20)
            if unlink:
                os.unlink(f"{folder}/{unlink}-{number}")
        except OSError:
            pass
def write(folder):
    for number in range(100_000):
        try:
            with open(f"{folder}/w{number}", "wb") as file:
                file.write(bytes(4 << 20))
        except OSError:
            pass
def burn():
    while True:
        pass
def flood():
    while True:
        os.write(1, b"x" * 4000 + b"\\n")
def claim():
    kept = []
    while True:
        kept.append(mmap.mmap(-1, 1 << 20))
        kept[-1].write(bytes(1 << 20))
work = [(allocate, "/out", 0), (allocate, "/out", 1), (write, "/out"), (allocate, "/work", 1), (allocate, "/tmp", 1),
        (allocate, "/dev/shm", 1), (write, "/home/agent"), (burn,), (burn,), (flood,), (claim,)]
for function, *arguments in work:
    if os.fork() == 0:
        function(*arguments)
        os._exit(0)
while True:
    try:
        if os.fork() == 0:
            signal.pause()
    except OSError:
        signal.pause()
"""
HONEST = "for n in 1 2 3 4 5 6 7 8; do echo $n >> README.md; sleep 1; done"


@dataclasses.dataclass(frozen=True)
class Overload:
    """What an attack took from the host, and how both attempts ended."""

    attacker: RunResult
    honest: RunResult
    host_bytes: int
    """The most that lay in the attempt's folder and in the engine's log of it at one moment."""
    processor_s: float
    """Seconds that the engine and this process used, the honest attempt's share included."""

    def __str__(self) -> str:
        cause = self.attacker.ending.cause.value
        return f"{cause}: host {self.host_bytes / 2**20:.0f} MiB, processor {self.processor_s:.1f} s"


def attack(client: docker.DockerClient, origin: Origin, folder: Path, names: tuple[str, str]) -> Overload:
    """Run both attempts, whose ids are `names`, the honest one a moment earlier."""
    hostile = origin.prepared(
        folder / "hostile",
        command=("python3", "-c", ATTACK),
        attempt_id=names[0],
        limits=small_limits(wall_clock_s=15, log=64 * 2**20),
    )
    honest = origin.prepared(folder / "honest", command=("sh", "-c", HONEST), attempt_id=names[1])
    started = threading.Event()
    results: list[RunResult] = []

    def beat() -> bool:
        started.set()
        return True

    def run_honest() -> None:
        results.append(DockerRunner(client).run(honest, heartbeat=beat))

    beside = threading.Thread(target=run_honest)
    before_s = _processor_s()
    beside.start()
    assert started.wait(60)
    most = 0

    def look() -> bool:
        nonlocal most
        most = max(most, _host_bytes(client, hostile))
        return True

    attacker = DockerRunner(client).run(hostile, heartbeat=look)
    look()
    beside.join(120)
    return Overload(attacker, results[0], most, _processor_s() - before_s)


def _host_bytes(client: docker.DockerClient, inputs: AttemptInputs) -> int:
    lying = sum(path.lstat().st_blocks * 512 for path in inputs.folder.root.rglob("*"))
    for container in client.containers.list(filters={"label": f"{profile.LABEL_ATTEMPT}={inputs.attempt_id}"}):
        log = Path(client.api.inspect_container(str(container.id))["LogPath"])
        lying += sum(path.stat().st_size for path in log.parent.glob("*.log*"))
    return lying


def _processor_s() -> float:
    ticks = sum(_engine_ticks())
    return time.process_time() + ticks / 100


def _engine_ticks() -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "comm").read_text().strip()
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name in ENGINE_PROCESSES:
            yield int(fields[11]) + int(fields[12])
