"""Figures of the agents' containers: `make bench-containers`.

Parts, all by default: `cold` (hardened cold start and a bare one, by turns), `warm` (from an attempt's claim to its
agent's start, in a container that waited and in one of its own, by turns), `ready` (from a task that is ready to its
agent's first instruction, through the real daemon, by turns with a bare Dagster job and a bare container), `flood`
(10 GB of output). `SQUIRE_BENCH_PARTS=cold,flood` chooses; `SQUIRE_BENCH_FLOOD_BYTES`, `SQUIRE_BENCH_STARTS` and
`SQUIRE_BENCH_READY` make it shorter.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import docker

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from squire_pipelines.agents import engine, profile, worker_files
from squire_pipelines.agents.container import Container
from squire_pipelines.agents.docker_runner import DockerRunner, EngineOptions
from squire_pipelines.agents.logs import LogSink, OutputOptions
from squire_pipelines.agents.warm import WarmProfile
from squire_pipelines.agents.warm_pool import PoolTarget, WarmPool
from squire_pipelines.domain.endings import Cause
from squire_pipelines.sections.agents import LimitSettings
from tests.support.attempts import MIB, make_origin, small_limits
from tests.support.figures import ROOT, Figure, by_turns, percentile, ratio, report, seconds

IMAGE = "squire-worker:latest"
STARTS = int(os.environ.get("SQUIRE_BENCH_STARTS", "50"))
FLOOD_BYTES = int(os.environ.get("SQUIRE_BENCH_FLOOD_BYTES", str(10 * 10**9)))
PARTS = os.environ.get("SQUIRE_BENCH_PARTS", "cold,warm,ready,flood").split(",")
READY_RATIO = 2.5
READY_RUNS = int(os.environ.get("SQUIRE_BENCH_READY", "8"))


def cold(client: docker.DockerClient) -> list[Figure]:
    """The whole way of our supervisor (create, attach, start, drain, wait) against create, start and wait alone."""
    image = str(client.images.get(IMAGE).id)
    seccomp = worker_files.seccomp_profile()
    limits = LimitSettings(cpus=1)
    made: list[str] = []

    def bare() -> None:
        container = client.containers.create(image, entrypoint=["true"])
        made.append(str(container.id))
        container.start()
        container.wait()

    def bare_without_network() -> None:
        container = client.containers.create(image, entrypoint=["true"], network_mode="none")
        made.append(str(container.id))
        container.start()
        container.wait()

    def hardened() -> None:
        arguments = profile.hardening(limits, user=profile.host_user(), seccomp=seccomp)
        created = client.containers.create(
            image, entrypoint=["true"], name=f"squire-bench-{uuid.uuid4().hex}", **arguments
        )
        made.append(str(created.id))
        with tempfile.TemporaryDirectory() as folder:
            sink = LogSink(Path(folder) / "log", limit_bytes=MIB)
            container = Container(client, str(created.id), sink)
            container.attach()
            container.start()
            while not container.wait(1.0):
                pass
            container.finish_output()
            sink.close()

    def timed(start: Callable[[], None]) -> float:
        taken = seconds(start)
        while made:
            client.api.remove_container(made.pop(), force=True)
        return taken

    starts = {"bare": bare, "bare without a network": bare_without_network, "hardened": hardened}
    times = by_turns({name: partial(timed, start) for name, start in starts.items()}, STARTS)
    return [
        Figure("hardened cold start / bare", ratio(times["hardened"], times["bare"]), "x", 1.10),
        *(Figure(f"{name}: cold start, median", 1000 * statistics.median(times[name]), "ms") for name in starts),
        Figure("hardened: cold start, p95", percentile(times["hardened"], 0.95) * 1000, "ms"),
    ]


def warm(client: docker.DockerClient) -> list[Figure]:
    """The runner's whole way to the agent's start, by turns with a pool of one and without."""
    image = str(client.images.get(IMAGE).id)
    limits = small_limits(cpus=2)
    shape = WarmProfile(image, limits, (), gateway=False, seccomp=worker_files.seccomp_profile())
    times: dict[bool, list[float]] = {True: [], False: []}
    refills: list[float] = []
    with tempfile.TemporaryDirectory(prefix="sq-") as name:
        folder = Path(name)
        origin = make_origin(folder)
        pool = WarmPool(client, folder / "warm", folder)
        for number in range(2 * STARTS):
            is_warm = number % 2 == 0
            if is_warm:
                refills.append(seconds(lambda: pool.tend({shape.key: PoolTarget(shape, 1, 3600)})))
                time.sleep(0.5)  # a pool is filled long before it is needed
            home = folder / str(number)
            home.mkdir()
            unit = f"bench-{uuid.uuid4().hex[:12]}-1"
            inputs = origin.prepared(home, command=("true",), limits=limits, attempt_id=unit)
            runner = DockerRunner(client, options=EngineOptions(warm=folder / "warm"))
            began = datetime.now(UTC)
            run = runner.run(inputs, heartbeat=lambda: True)
            if run.agent_started_at is None or ("warm" in run.ending.evidence.facts) is not is_warm:
                sys.exit(f"attempt {number} ended as {run.ending}")
            times[is_warm].append((run.agent_started_at - began).total_seconds())
        pool.tend({})
    figures = [Figure("claim → agent's start, warm / cold", ratio(times[True], times[False]), "x", 0.5)]
    for name, values in (("cold", times[False]), ("warm", times[True])):
        figures.append(Figure(f"{name}: claim → agent's start, median", statistics.median(values) * 1000, "ms"))
        figures.append(Figure(f"{name}: claim → agent's start, p95", percentile(values, 0.95) * 1000, "ms"))
    return [*figures, Figure("making one for the pool, median", statistics.median(refills) * 1000, "ms")]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def flood(client: docker.DockerClient) -> list[Figure]:
    """An agent that writes 10 GB: cut where that is permitted, and ended where it is not."""
    figures = []
    root = Path(str(client.info()["DockerRootDir"])) / "containers"
    with tempfile.TemporaryDirectory(prefix="sq-") as folder:
        origin = make_origin(Path(folder))
        script = f"head -c {FLOOD_BYTES} /dev/zero | tr '\\0' x | fold -w 199; echo; echo x >> README.md"
        for name, truncate in (("cut", True), ("ended", False)):
            home = Path(folder) / name
            home.mkdir()
            inputs = origin.prepared(
                home,
                command=("sh", "-c", script),
                limits=small_limits(log=8 * MIB, wall_clock_s=3000, cpus=1),
                attempt_id=f"bench-{uuid.uuid4().hex[:12]}-1",
            )
            before, most, disk = _resident(), 0, 0

            def watch() -> bool:
                nonlocal most, disk
                most = max(most, _resident())
                logs = root.glob("*/*-json.log*") if root.is_dir() else ()
                for log in logs:
                    try:
                        disk = max(disk, log.stat().st_size)
                    except OSError:
                        continue  # rotated away
                return True

            began = time.perf_counter()
            run = DockerRunner(client, output=OutputOptions(truncate_log=truncate)).run(inputs, heartbeat=watch)
            took = time.perf_counter() - began
            if run.ending.cause is not (Cause.COMPLETED if truncate else Cause.LOG_OVERFLOW):
                sys.exit(f"{name}: ended as {run.ending}")
            figures += [
                Figure(f"flood {name}: growth of the supervisor's memory", (most - before) / 1e6, "MB", 20),
                Figure(f"flood {name}: largest of the engine's log files", disk / 1e6, "MB", 30),
                Figure(f"flood {name}: attempt's log", inputs.folder.log.stat().st_size / 1e6, "MB", 9),
                Figure(f"flood {name}: time", took, "s", None),
            ]
    return figures


def ready() -> list[Figure]:
    """Through the real daemon: one task after another, each made ready and watched by the ledger."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.support.ready_to_agent", str(READY_RUNS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=2400,
        cwd=ROOT,
    )
    if process.returncode != 0:
        sys.exit(process.stderr[-3000:] or process.stdout[-3000:])
    rows: list[dict[str, float]] = json.loads(process.stdout.splitlines()[-1])
    total = [row["total_s"] for row in rows]
    floor = [row["bare_job_s"] + row["bare_container_s"] for row in rows]
    figures = [
        Figure("task ready → agent's first instruction / floor", ratio(total, floor), "x", READY_RATIO),
        Figure("task ready → agent's first instruction, median", statistics.median(total), "s"),
        Figure("task ready → agent's first instruction, p95", percentile(total, 0.95), "s"),
        Figure("floor: bare Dagster job and bare container, median", statistics.median(floor), "s"),
    ]
    parts = [part for part in rows[0] if part != "total_s"]
    return figures + [Figure(f"  {part}, median", statistics.median(row[part] for row in rows), "s") for part in parts]


def main() -> int:
    """Run the parts and print the table; the exit code tells whether a figure fell short."""
    client = engine.connect(120, image=IMAGE)
    figures: list[Figure] = []
    if "cold" in PARTS:
        figures += cold(client)
    if "warm" in PARTS:
        figures += warm(client)
    if "ready" in PARTS:
        figures += ready()
    if "flood" in PARTS:
        figures += flood(client)
    client.close()
    return report("containers", figures)


if __name__ == "__main__":
    sys.exit(main())
