"""One run of `agent_run` with its steps in containers, as a process of its own that a test may stop or kill.

Usage: python -m tests.support.step_run NAME=VALUE…     the run's tags; DAGSTER_HOME and SQUIRE_HOME in the environment.
Exit code 0 when the run succeeded.
"""

import sys

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository


def main() -> int:
    """Executes the job as a run worker does."""
    tags = dict(argument.split("=", 1) for argument in sys.argv[1:])
    repository = ReconstructableRepository.for_module("squire_pipelines.definitions", "defs")
    job = repository.get_reconstructable_job("agent_run")
    with dg.DagsterInstance.get() as instance:
        done = dg.execute_job(job, instance, tags=tags, raise_on_error=False)
        return 0 if done.success else 1


if __name__ == "__main__":
    sys.exit(main())
