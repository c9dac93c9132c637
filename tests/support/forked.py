"""Starts Python programs by forking a process that has already imported most of our modules.

Start and imports are most of the cost of a small child process, and most tests do not depend on how it starts. A child
gets what `subprocess` would pass to it: arguments, environment, folder, standard output and error.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import IO, Any, cast

from squire_forge.process import ForgeProcess

processes = multiprocessing.get_context("forkserver")
"""One server for each test process: what is to be imported in it has to be named before its first use, so here."""
processes.set_forkserver_preload(
    [
        *("__main__", "alembic.command", "duckdb", "psycopg"),
        *("squire_forge.__main__", "squire_pipelines.warehouse.archive", "squire_pipelines.webhooks"),
        *("tests.support.ledger_load", "tests.support.ledger_workers", "tests.support.publish_child"),
    ]
)


def _python(
    argv: Sequence[str], cwd: str, environment: Mapping[str, str], output: Connection, errors: Connection
) -> None:
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, end in ((1, output), (2, errors)):
        os.dup2(end.fileno(), number)
        end.close()
    option, program, *_ = argv
    if option == "-c":
        sys.argv = [option, *argv[2:]]
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - a test's program
    else:
        sys.argv = [program, *argv[2:]]
        sys.modules.pop(f"{program}.__main__", None)  # or runpy warns that it is imported already
        runpy.run_module(program, run_name="__main__", alter_sys=True)


class Child:
    """What our tests and `ForgeProcess` ask of a `subprocess.Popen`. It leads a session of its own."""

    def __init__(self, process: ForkServerProcess, stdout: IO[bytes] | None) -> None:
        self._process = process
        self.pid = process.pid or 0
        self.stdout = stdout

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def start(argv: Sequence[str], *, stderr: IO[Any], stdout: IO[Any] | None = None, cwd: Path | None = None) -> Child:
    """Start Python: `-c PROGRAM ARGUMENT…` or `-m MODULE ARGUMENT…`. Without `stdout` it is a pipe of the child's."""
    ours, sender = processes.Pipe(duplex=False)
    # A child can receive Connection objects only; the pipe ends are wrapped in them for that.
    output = sender if stdout is None else Connection(os.dup(stdout.fileno()), readable=False)
    errors = Connection(os.dup(stderr.fileno()), readable=False)
    arguments = (list(argv), os.fspath(cwd or Path.cwd()), dict(os.environ), output, errors)
    process = processes.Process(target=_python, args=arguments, name=" ".join(argv[:2])[:60], daemon=True)
    process.start()
    pipe = os.fdopen(os.dup(ours.fileno()), "rb") if stdout is None else None
    for end in {ours, sender, output, errors}:
        end.close()
    return Child(process, pipe)


def run(argv: Sequence[str], *, timeout_s: float = 60, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """As `subprocess.run` with its output captured."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = start(argv, stdout=output, stderr=errors, cwd=cwd)
        try:
            code = child.wait(timeout_s)
        finally:
            child.kill()
            child.wait(10)
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return subprocess.CompletedProcess(list(argv), code, *texts)


class ForkedForge(ForgeProcess):
    """A `ForgeProcess` that is up at once."""

    @staticmethod
    def _spawn(command: Sequence[str], errors: IO[bytes]) -> "subprocess.Popen[bytes]":
        return cast("subprocess.Popen[bytes]", start(command[1:], stderr=errors))
