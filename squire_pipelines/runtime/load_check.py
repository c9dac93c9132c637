"""Loads all that the processes of `squire dev` run, in a process of its own, and says in one line why it cannot be.

`python -m squire_pipelines.runtime.load_check` ends with 1 then. What was loaded goes with the process.
"""

import importlib
import sys
import traceback

from squire_pipelines.terminal.output import write_line

MODULES = (
    "squire_pipelines.definitions",
    "squire_pipelines.webhooks.serve",
    "squire_pipelines.endpoint.operator_server",
    "squire_pipelines.board.board_server",
)
PREFIX = "not loaded: "
_OTHERS = ("site-packages", "importlib")
"""What is in the paths of code that nobody edits here."""


def reason_of(error: BaseException) -> str:
    """Return what went wrong on one line, with the file and the line of the code at fault."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    own = [frame for frame in frames if not any(part in frame.filename for part in _OTHERS)]
    place = next(reversed(own or frames), None)
    return text if place is None else f"{place.filename}:{place.lineno}: {text}"


def main() -> int:
    """Load everything; return 1 after the line that says what cannot be."""
    try:
        for module in MODULES:
            importlib.import_module(module)
    except BaseException as error:  # noqa: BLE001 - whatever a module raises, SystemExit too, keeps it from being loaded
        write_line(f"{PREFIX}{reason_of(error)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
