"""`python -m squire_pipelines.runtime.dagster_program [OPTION...] NAME ...`: a program of Dagster's whose log rotates.

It runs in this process, as the script of this name does. The code server also forks its runs, see `run_processes`. The
options have a daemon wait for the code server, and look at its sensors more often than Dagster has a setting for.
"""

import argparse
import socket
import sys
import time
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from squire_pipelines.observability.log_files import follow_process_log
from squire_pipelines.runtime.run_processes import IMPORTS, fork_runs
from squire_pipelines.sensors import intervals

LOAD_TIMEOUT_S = 120.0
"""How long the code server may take until it has loaded the definitions."""

_CODE_SERVER = ["dagster", "api", "grpc", "--socket"]
_DAEMON = "dagster-daemon"
_POLL_S = 0.05
_MORE_S = 0.1  # a tick begins a moment after the look, and an interval that has nearly passed has not


def accepts(path: Path) -> bool:
    """Return whether a server listens on the socket at `path`."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def main(words: list[str]) -> None:
    """Run the program that `words` name. It ends the process with its own exit code."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--after", type=Path, help="wait until a server listens on this socket")
    parser.add_argument("--after-file", type=Path, help="wait until there is this file")
    parser.add_argument("--look-s", type=int, help="look at sensors so often, where each look is meant")
    parser.add_argument("--as-steward", action="store_true", help="wait until no other daemon of all machines runs")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    asked = parser.parse_args(words)
    name, *_ = asked.program
    (program,) = entry_points(group="console_scripts", name=name)
    follow_process_log()
    if asked.look_s is not None:
        _look_each(asked.look_s, is_daemon=name == _DAEMON)
    if asked.program[: len(_CODE_SERVER)] == _CODE_SERVER:
        fork_runs(Path(asked.program[len(_CODE_SERVER)]).parent)
        import_module(IMPORTS)  # the first ticks need nearly the same, all at once
    function = program.load()  # what takes time, while the server that is waited for starts
    _wait_for(asked.after, asked.after_file)
    sys.argv = asked.program
    if not asked.as_steward:
        sys.exit(function())
    from squire_pipelines.runtime.stewardship import as_steward  # noqa: PLC0415 - only where there may be several

    with as_steward():
        sys.exit(function())


def _look_each(seconds: int, *, is_daemon: bool) -> None:
    intervals.WORK_INTERVAL_S, intervals.NEWS_INTERVAL_S = seconds, 2 * seconds
    if is_daemon:
        from dagster._daemon import sensor  # noqa: PLC0415 - for the daemon alone

        setattr(sensor, "MIN_INTERVAL_LOOP_TIME", seconds + _MORE_S)  # noqa: B010 - Dagster has no setting for it


def _wait_for(path: Path | None, file: Path | None) -> None:
    """Wait for a server and a file; after `LOAD_TIMEOUT_S` go on, and have Dagster say what is not there."""
    deadline = time.monotonic() + LOAD_TIMEOUT_S

    def is_there() -> bool:
        return (file is None or file.exists()) and (path is None or accepts(path))

    while not is_there() and time.monotonic() < deadline:
        time.sleep(_POLL_S)


if __name__ == "__main__":
    main(sys.argv[1:])
