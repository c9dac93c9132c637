"""Squire's definitions with a job whose op logs the model key in every way, for a test of Dagster's processes."""

import os

import dagster as dg

from squire_pipelines import definitions
from tests.support.planted.sitecustomize import log_the_secret


@dg.op
def speak(context: dg.OpExecutionContext) -> None:
    """Logs."""
    log_the_secret()
    context.log.warning("planted in the event log: %s", os.environ["SQUIRE_MODEL_KEY"])


@dg.job(executor_def=dg.in_process_executor)
def in_the_run() -> None:
    """The op in the process of the run."""
    speak()


@dg.job(executor_def=dg.multiprocess_executor)
def in_a_process_of_its_own() -> None:
    """The op in a process of its own, as a step container has one."""
    speak()


@dg.definitions
def defs() -> dg.Definitions:
    """Squire's, which set the process up, and the two jobs."""
    return dg.Definitions.merge(definitions.defs(), dg.Definitions(jobs=[in_the_run, in_a_process_of_its_own]))
