"""Many machines: from a run that is requested to its first op on a warm worker: `make bench-scale`.

Starts Postgres, Redis and one worker, and puts runs of the job `recover` into the queue one after the other.
`SQUIRE_BENCH_RUNS` is how many (20). The worker is warm: it has the imports, and the first run is not counted.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher import LaunchRunContext

from squire_pipelines.definitions import build_defs
from squire_pipelines.ledger.store import open_ledger
from squire_pipelines.runtime.dagster_home import instance_environment, open_instance
from squire_pipelines.runtime.recovery import make_storage
from squire_pipelines.settings.model import load_settings
from tests.support.brokers import PASSWORD, RedisServer
from tests.support.figures import ROOT, Figure, report
from tests.support.ledgers import PostgresServer

RUNS = int(os.environ.get("SQUIRE_BENCH_RUNS", "20"))
MOST_S = 1.0
WITHIN_S = 120.0


def first_op_s(instance: dg.DagsterInstance, run: dg.DagsterRun) -> float:
    """Launch a run, and return the seconds from then to its first op, by the clock of this machine."""
    began = time.time()
    instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    while time.time() - began < WITHIN_S:
        known = instance.get_run_by_id(run.run_id)
        if known is not None and known.is_finished:
            (start, *_) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START)
            return start.timestamp - began
        time.sleep(0.05)
    raise TimeoutError(f"run {run.run_id} did not end")


def measure() -> list[float]:
    """Return the seconds of each run."""
    settings = load_settings()
    open_ledger(settings.resolved_ledger_url).close()
    os.environ |= instance_environment(settings)
    make_storage(settings)
    repository = ReconstructableRepository.for_module("squire_pipelines.definitions", "defs", str(ROOT))
    origin = repository.get_reconstructable_job("recover").get_python_origin()
    job = build_defs().resolve_job_def("recover")
    command = [sys.executable, "-m", "squire_pipelines.cli", "worker", "--queue", "keep", "--name", "bench"]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with open_instance(settings) as instance:
            taken = []
            for _ in range(RUNS + 1):
                run = instance.create_run_for_job(job, job_code_origin=origin)
                instance.report_dagster_event(
                    dg.DagsterEvent(dg.DagsterEventType.PIPELINE_STARTING.value, run.job_name), run.run_id
                )
                taken.append(first_op_s(instance, run))
            return taken[1:]
    finally:
        worker.kill()
        worker.wait(30)


def main() -> int:
    """Measure and report."""
    postgres, redis = PostgresServer.start(), RedisServer.start()
    if redis is None:
        sys.exit("redis-server is not installed")
    try:
        with tempfile.TemporaryDirectory(prefix="sq-", ignore_cleanup_errors=True) as folder:
            os.environ |= {
                "SQUIRE_HOME": folder,
                "SQUIRE_LEDGER_URL": postgres.new_database(),
                "SQUIRE_WORKERS__BROKER_URL": redis.url,
                "SQUIRE_BROKER_KEY": PASSWORD,
                "SQUIRE_FILES__URL": f"file://{folder}/store",
            }
            Path(folder, "store").mkdir()
            taken = sorted(measure())
    finally:
        redis.kill()
        postgres.stop()
    p95 = taken[min(len(taken) - 1, round(0.95 * len(taken)))]
    return report(
        "scale",
        [
            Figure("run requested to first op on a warm worker, p95", p95, "s", MOST_S),
            Figure("run requested to first op on a warm worker, median", statistics.median(taken), "s"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
