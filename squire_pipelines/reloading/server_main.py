"""How a process serves by settings that it follows: its signals, errors and exit code, for all servers alike."""

import signal
from collections.abc import Callable
from types import FrameType

from squire_pipelines.errors import ExitCode, SquireError
from squire_pipelines.home_presence import HomePresence
from squire_pipelines.reloading.in_force import SettingsInForce, settings_in_force
from squire_pipelines.settings.file_systems import refuse_shared_databases
from squire_pipelines.terminal.output import write_line


def run_server(serve: Callable[[SettingsInForce], None]) -> int:
    """Serve the home that the environment names until SIGTERM or SIGINT. Returns the exit code.

    Args:
        serve: Serves; what SquireError it raises is written, with its hint.
    """
    # uvicorn puts these back and raises the signal again when it has finished: a clean end, not death by signal.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it asks for what the start does anyway
    try:
        in_force = settings_in_force(on_taken=lambda settings: settings.logging.apply())
        signal.signal(signal.SIGHUP, lambda _signal, _frame: in_force.ask())
        refuse_shared_databases(in_force.settings)
        with HomePresence(in_force.home.run, say=lambda line: write_line(line, err=True)):
            serve(in_force)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(ExitCode.FAILED)
    except SquireError as error:
        write_line(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""), err=True)
        return int(error.exit_code)
    return int(ExitCode.DONE)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(ExitCode.DONE)
