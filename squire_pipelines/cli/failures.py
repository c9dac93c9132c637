"""What a person reads when a command fails: one message and the next step, with a traceback only when asked for."""

import errno

import click

from squire_pipelines.errors import ExitCode, SquireError
from squire_pipelines.terminal.output import write_labelled, write_line

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def fail(message: str, hint: str = "", *, place: str = "") -> None:
    """Write on standard error what went wrong, the lines at fault in the person's text, and what to do next."""
    write_labelled("error", message, color="red")
    if place:
        write_line(place, err=True)
    if hint:
        write_labelled("hint", hint, color="yellow")


def note(message: str) -> None:
    """Write something on standard error that is not the command's result."""
    write_labelled("hint", message, color="yellow")


def _was_interrupted(error: BaseException) -> bool:
    # click turns Ctrl-C into Abort, with the interrupt as its cause or context.
    return any(isinstance(one, KeyboardInterrupt) for one in (error, error.__cause__, error.__context__))


def report(error: BaseException, *, verbose: bool) -> int:
    """Show `error` to the person and return its exit code."""
    if isinstance(error, SquireError):
        fail(error.message, error.hint, place=getattr(error, "place", ""))
        code = int(error.exit_code)
    elif isinstance(error, KeyboardInterrupt | click.Abort):
        interrupted = _was_interrupted(error)
        write_line("interrupted" if interrupted else "aborted", err=True)
        code = INTERRUPTED if interrupted else int(ExitCode.FAILED)
    elif isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    elif isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        fail(error.format_message(), f"see `{context.command_path} --help`" if context is not None else "")
        return error.exit_code
    elif isinstance(error, OSError) and error.errno in _FULL:
        place = f" {error.filename}" if error.filename else ", which may be the command's output"
        fail(f"a file could not be written{place}: {error.strerror}", "free some space, and repeat the command")
        code = int(ExitCode.FAILED)
    else:
        hint = "" if verbose else "this is a fault in Squire; run `squire -v …` to see the traceback"
        fail(_redacted(f"{type(error).__name__}: {error}"), hint)  # nobody knows what a library puts into its message
        code = int(ExitCode.FAILED)
    if verbose:
        import traceback  # noqa: PLC0415 - only when a command fails

        write_line(_redacted("".join(traceback.format_exception(error))), err=True, end="")
    return code


def _redacted(text: str) -> str:
    from squire_pipelines.secrets.redact import process_redactor  # noqa: PLC0415 - only when a command fails

    return process_redactor().redact(text)
