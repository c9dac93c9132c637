"""Imports what runs of the queue need beside `run_imports`, in the process from which a worker forks them."""

import contextlib
import gc
from importlib import import_module

MODULES = (
    "dagster._cli.api",
    "dagster_celery.launcher",
    "dagster_postgres",
    "dateutil.parser",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "squire_pipelines.jobs.queue_launcher",
    "squire_pipelines.jobs.queue_places",
)

for module in MODULES:
    with contextlib.suppress(Exception):  # the run that needs it fails with the same error, where people see it
        import_module(module)
gc.freeze()  # what is shared stays shared
