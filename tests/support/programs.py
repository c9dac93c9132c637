"""Small programs in the place of Dagster's, found beside the interpreter as the real ones are."""

import sys
from pathlib import Path

import pytest

# Tells how it was called; a code server listens where it is told to, and then all of them stay.
_PROGRAM = """#!{python}
import pathlib, socket, sys, time
print(pathlib.Path(sys.argv[0]).name, *sys.argv[1:], flush=True)
if "--socket" in sys.argv:
    server = socket.socket(socket.AF_UNIX)
    server.bind(sys.argv[sys.argv.index("--socket") + 1])
    server.listen()
time.sleep(600)
"""


def small_programs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put them into a folder and the interpreter that processes are started with, too; return the folder."""
    folder.mkdir()
    for name in ("python", "dagster", "dagster-daemon", "dagster-webserver"):
        program = folder / name
        program.write_text(_PROGRAM.format(python=sys.executable), encoding="utf-8")
        program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return folder
