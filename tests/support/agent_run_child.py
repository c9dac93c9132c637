"""A run worker as a process of its own, to be killed: `python -m tests.support.agent_run_child ATTEMPT RUN`.

Runs `agent_run` for a dispatched attempt of the home in SQUIRE_HOME, with an instance in memory. Its last line is the
run's status, also where a signal ends it.
"""

import sys

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.definitions import build_defs


def main(attempt_id: str, run_id: str) -> int:
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_defs().resolve_job_def("agent_run")
        try:
            done = job.execute_in_process(
                instance=instance, tags={tags.ATTEMPT: attempt_id}, run_id=run_id, raise_on_error=False
            )
        finally:
            run = instance.get_run_by_id(run_id)
            sys.stdout.write(f"{run.status.value if run is not None else 'NO RUN'}\n")
            sys.stdout.flush()
    return 0 if done.success else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
