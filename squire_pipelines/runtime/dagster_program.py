"""`python -m squire_pipelines.runtime.dagster_program NAME ...`: a program of Dagster's whose log rotates.

It runs in this process, as the script of this name does. Nothing else about it is changed.
"""

import sys
from importlib.metadata import entry_points

from squire_pipelines.observability.log_files import follow_process_log


def main(words: list[str]) -> None:
    """Run the program that `words` begin with. It ends the process with its own exit code."""
    (program,) = entry_points(group="console_scripts", name=words[0])
    follow_process_log()
    sys.argv = words
    sys.exit(program.load()())


if __name__ == "__main__":
    main(sys.argv[1:])
