"""What a server does at a signal that comes while it is imported, which takes seconds on a busy machine."""

import signal
import subprocess
import sys

import pytest

_PROGRAM = """
import os, runpy, signal, sys, types

number = int(sys.argv[3])

class Server(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        signal.raise_signal(number)
        os._exit(9)

signal.signal(number, signal.SIG_DFL)
sys.modules[sys.argv[2]] = Server(sys.argv[2])
runpy.run_module(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGHUP, 9, id="goes on"), pytest.param(signal.SIGTERM, 0, id="ends without a fault")],
)
@pytest.mark.parametrize(
    ("program", "server"),
    [
        ("squire_pipelines.endpoint", "squire_pipelines.endpoint.operator_server"),
        ("squire_pipelines.webhooks", "squire_pipelines.webhooks.serve"),
    ],
)
def test_a_signal_while_a_server_is_imported(program: str, server: str, number: signal.Signals, code: int) -> None:
    argv = [sys.executable, "-c", _PROGRAM, program, server, str(int(number))]
    child = subprocess.run(argv, capture_output=True, check=False, timeout=60)
    assert child.returncode == code, child.stderr.decode()
