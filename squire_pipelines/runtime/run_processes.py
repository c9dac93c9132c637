"""The processes of Dagster's runs, forked from one that has imported what they need.

Dagster's code server starts each run in a new interpreter, which computes for seconds before it does anything: it
imports Dagster, Squire and their libraries. A fork of a process that has done so begins at once, and shares its memory.
"""

import multiprocessing
import shutil
import tempfile
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path
from types import SimpleNamespace

MAX_SOCKET_PATH_BYTES = 107  # sockaddr_un
IMPORTS = "squire_pipelines.runtime.run_imports"
_LEFTOVERS = "pymp-*"  # as the standard library names the folder of its socket
_SOCKET_NAME_BYTES = 32  # within it
_DAGSTERS = "spawn"  # the way that Dagster's code server asks for


def start_fork_server(folder: Path, *further: str) -> None:
    """Start the process from which runs are forked, which begins with the imports at once.

    The process that is forked has no threads. It ends when this one and all runs have.

    Args:
        folder: Gets a folder with a socket, open to its owner alone. What a killed code server left there is removed.
        further: Modules that are imported there, too.
    """
    remove_sockets(folder)
    multiprocessing.set_forkserver_preload([IMPORTS, *further])
    before = tempfile.tempdir
    if len(bytes(folder)) + _SOCKET_NAME_BYTES <= MAX_SOCKET_PATH_BYTES:
        tempfile.tempdir = str(folder)
    try:
        forkserver.ensure_running()
    finally:
        tempfile.tempdir = before


def fork_runs(folder: Path) -> None:
    """Have the code server that this process is going to be fork its runs; see `start_fork_server`."""
    from dagster._grpc import server  # noqa: PLC0415 - for the code server alone

    start_fork_server(folder)
    # Dagster has no setting for this. It uses the module for nothing else.
    setattr(server, "multiprocessing", SimpleNamespace(get_context=_context))  # noqa: B010 - it is not made for this


def remove_sockets(folder: Path) -> None:
    """Remove what a code server left in `folder` that was killed, or ended while it was starting."""
    for leftover in folder.glob(_LEFTOVERS):
        shutil.rmtree(leftover, ignore_errors=True)


def _context(method: str | None = None) -> BaseContext:
    return multiprocessing.get_context("forkserver" if method == _DAGSTERS else method)
