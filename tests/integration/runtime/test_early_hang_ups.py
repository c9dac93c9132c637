"""A request to read the settings again ends no server that has not come so far as to follow it."""

import subprocess
import sys

import pytest

_PROGRAM = """
import runpy, signal, sys, types

class Server(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        signal.raise_signal(signal.SIGHUP)
        return lambda *_, **__: 0

signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.modules[sys.argv[2]] = Server(sys.argv[2])
runpy.run_module(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("program", "server"),
    [
        ("squire_pipelines.endpoint", "squire_pipelines.endpoint.operator_server"),
        ("squire_pipelines.webhooks", "squire_pipelines.webhooks.serve"),
    ],
)
def test_a_server_outlives_a_hang_up_while_it_is_imported(program: str, server: str) -> None:
    child = subprocess.run(
        [sys.executable, "-c", _PROGRAM, program, server], capture_output=True, check=False, timeout=60
    )
    assert child.returncode == 0, child.stderr.decode()
