"""Imports what runs need, in the process from which they are forked. It reads no settings and starts no thread.

Beside the definitions it names what Dagster imports for each run, and what the ops of the usual jobs import when they
run. What is missing here is imported by each run itself.
"""

import contextlib
import gc
from importlib import import_module

from squire_pipelines.process_setup import outlive_hang_ups

MODULES = (
    "dagster._core.executor.in_process",
    "dagster._core.instance.factory",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.sqlite_storage",
    "dagster._core.workspace.autodiscovery",
    "anyio._backends._asyncio",
    "squire_pipelines.definitions",
    "squire_pipelines.execution.agent",
    "squire_pipelines.execution.announcing",
    "squire_pipelines.execution.base_updates",
    "squire_pipelines.execution.dashboards",
    "squire_pipelines.execution.ending_judgement",
    "squire_pipelines.execution.expiry",
    "squire_pipelines.execution.follow_telling",
    "squire_pipelines.execution.group_planning",
    "squire_pipelines.execution.head_reporting",
    "squire_pipelines.execution.merge_looks",
    "squire_pipelines.execution.publication",
    "squire_pipelines.execution.remark_hearing",
    "squire_pipelines.execution.repository_reading",
    "squire_pipelines.execution.second_runs",
    "squire_pipelines.publishing.follow",
    "squire_pipelines.warehouse.publish",
)

outlive_hang_ups()
for module in MODULES:
    with contextlib.suppress(Exception):  # the run that needs it fails with the same error, where people see it
        import_module(module)
gc.freeze()  # what is shared stays shared: no collection writes to it
