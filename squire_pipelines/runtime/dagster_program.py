"""`python -m squire_pipelines.runtime.dagster_program NAME ...`: a program of Dagster's whose log rotates.

It runs in this process, as the script of this name does. Of the code server one more thing is changed: it forks its
runs, see `run_processes`.
"""

import sys
from importlib.metadata import entry_points
from pathlib import Path

from squire_pipelines.observability.log_files import follow_process_log
from squire_pipelines.runtime.run_processes import fork_runs

_CODE_SERVER = ["dagster", "api", "grpc", "--socket"]


def main(words: list[str]) -> None:
    """Run the program that `words` begin with. It ends the process with its own exit code."""
    (program,) = entry_points(group="console_scripts", name=words[0])
    follow_process_log()
    if words[:-1][: len(_CODE_SERVER)] == _CODE_SERVER:
        fork_runs(Path(words[len(_CODE_SERVER)]).parent)
    sys.argv = words
    sys.exit(program.load()())


if __name__ == "__main__":
    main(sys.argv[1:])
