"""The process of one run that a worker has taken: it executes the run as Dagster's own processes of runs do.

It is forked from the process that has the imports, see `run_processes`. It ends with its worker, however that ends.
"""

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing import connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess


def start_run(run_id: str) -> BaseProcess:
    """Start the process of a run, from the server that `run_processes` has started. Raises OSError."""
    context: BaseContext = multiprocessing.get_context("forkserver")
    process: BaseProcess = context.Process(target=execute_run, args=(run_id,), name=f"run-{run_id[:8]}")  # type: ignore[attr-defined] # of each context
    process.start()
    return process


def execute_run(run_id: str) -> None:
    """Execute a run, and exit with 1 where it failed. A run that is over already is left alone."""
    # Dagster's interruption, as its own processes have it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.setsid()  # a Ctrl-C at the worker's terminal has that drain, and the run go on
    _end_with_worker()
    from dagster import DagsterInstance  # noqa: PLC0415 - the worker itself needs no Dagster
    from dagster._cli.api import _execute_run_command_body  # noqa: PLC0415 - likewise

    with DagsterInstance.get() as instance:
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return
        if _execute_run_command_body(run_id, instance, lambda _event: None, set_exit_code_on_failure=True):
            sys.exit(1)


def _end_with_worker() -> None:
    worker = multiprocessing.parent_process()
    if worker is None:
        return

    def wait_for_end() -> None:
        connection.wait([worker.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)  # as if the machine had stopped: others go on with its attempt

    threading.Thread(target=wait_for_end, name="worker-watch", daemon=True).start()
