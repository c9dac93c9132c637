"""The program that reads what waits in the inbox, once, where no daemon of Dagster's does.

`squire signals collect` starts it. It executes the job `collect` as the sensor would have it run, and nothing else: it
plans nothing and starts no agent.
"""

import sys

import dagster as dg

from squire_pipelines.definitions import build_defs
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component
from squire_pipelines.partitions import ensure_repositories
from squire_pipelines.process_setup import set_up_process
from squire_pipelines.sensors.webhooks import take_inbox
from squire_pipelines.settings.model import load_settings


def read_inbox(instance: dg.DagsterInstance) -> bool:
    """Read what is due. Returns False when the run failed; what was not read stays in the inbox."""
    settings = load_settings()
    ledger = Ledger(settings.resolved_ledger_url)
    try:
        due = take_inbox(instance, settings, ledger)
    finally:
        ledger.close()
    if due is None:
        return True
    request, names = due
    ensure_repositories(instance, [*settings.repositories, *names])
    job = build_defs(settings).resolve_job_def("collect")
    run = job.execute_in_process(
        run_config=request.run_config, tags=request.tags, instance=instance, raise_on_error=False
    )
    return run.success


def main() -> None:
    """Read the inbox of this home: the exit code says whether the run succeeded."""
    set_up_process(Component.PIPELINE)
    with dg.DagsterInstance.get() as instance:
        sys.exit(0 if read_inbox(instance) else 1)


if __name__ == "__main__":
    main()
