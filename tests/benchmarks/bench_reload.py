"""How long a changed settings' file takes until it is in force, with real processes: `make bench-reload`.

`squire dev` runs, and deliveries stream in. Each change adds a repository. It is in force in the receiver when a
delivery of that repository is taken for relevant, and in the sensors when Dagster has it as a partition, which a
sensor's tick has asked for. The pauses between changes are random, since sensors tick every five seconds.
"""

import itertools
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import dagster as dg

from squire_pipelines.runtime.ports import free_port
from tests.support.deliveries import ReceiverProcess
from tests.support.delivery_stream import DeliveryStream, is_relevant
from tests.support.figures import Figure, report

CHANGES = int(os.environ.get("SQUIRE_BENCH_CHANGES", "20"))
SEED = 5
PATIENCE_S = 120.0
SQUIRE = str(Path(sys.executable).with_name("squire"))


def write(path: Path, names: list[str], port: int) -> None:
    """Write the file in place, as an editor may."""
    repositories = ", ".join(f'"{name}"' for name in names)
    text = f'repositories = [{repositories}]\n[github]\napi_url = "http://127.0.0.1:9"\n[webhooks]\nport = {port}\n'
    path.write_text(text + '[logging]\nlevel = "error"\n', encoding="utf-8")


def wait(happened: Callable[[], object], child: "subprocess.Popen[bytes]") -> float:
    """Wait until something has happened; return when that was seen."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        if child.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("squire dev has ended, or does not take the settings")
        time.sleep(0.05)
    return time.monotonic()


def percentile(values: list[float]) -> float:
    """Return the 95th percentile: the least value that 95 of 100 do not exceed."""
    return sorted(values)[max(0, -(-95 * len(values) // 100) - 1)]


def main() -> int:
    """Measure and report."""
    generator = random.Random(SEED)  # noqa: S311 - pauses
    receiver_s: list[float] = []
    sensors_s: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        home, port = Path(folder), free_port()
        environment = {**ReceiverProcess.environment(home), "SQUIRE_GITHUB_TOKEN": "t" * 40}
        for name in ("SQUIRE_REPOSITORIES", "SQUIRE_WEBHOOKS__PORT"):
            environment.pop(name)
        names = ["bench/first"]
        write(home / "config.toml", names, port)
        with (home / "dev.log").open("wb") as log:
            command = [SQUIRE, "dev", "--port", str(free_port())]
            child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        url, numbers = f"http://127.0.0.1:{port}", itertools.count()
        try:
            dagster = home / "dagster"
            wait(lambda: "Ctrl-C stops" in (home / "dev.log").read_text("utf-8"), child)
            with dg.DagsterInstance.from_config(str(dagster)) as instance, DeliveryStream(url, pause_s=0.05) as stream:

                def is_partition(name: str) -> bool:
                    return name in instance.get_dynamic_partitions("repositories")

                wait(lambda: is_partition(names[0]), child)
                for number in range(CHANGES):
                    time.sleep(generator.uniform(1, 6))
                    name = f"bench/added-{number}"
                    names.append(name)
                    write(home / "config.toml", names, port)
                    began = time.monotonic()
                    receiver_s.append(wait(lambda n=name: is_relevant(url, n, number=next(numbers)), child) - began)  # type: ignore[misc]  # a default binds the name
                    sensors_s.append(wait(lambda n=name: is_partition(n), child) - began)  # type: ignore[misc]  # likewise
        finally:
            child.terminate()
            child.wait(60)
    for problem in stream.problems:
        print(problem)
    return report(
        "reload",
        [
            Figure("changes of the settings", CHANGES, "changes", 20, at_least=True),
            Figure("in force in the receiver, p95", percentile(receiver_s), "s", 6),
            Figure("in force in the sensors, p95", percentile(sensors_s), "s", 6),
            Figure("in force in the receiver, median", statistics.median(receiver_s), "s"),
            Figure("in force in the sensors, median", statistics.median(sensors_s), "s"),
            Figure("deliveries accepted meanwhile", stream.accepted, "deliveries", CHANGES, at_least=True),
            Figure("deliveries refused or unanswered", len(stream.problems), "deliveries", 0),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
