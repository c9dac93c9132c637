"""How a command ends when it does not end well: one message, the next step, an exit code. No traceback unless asked."""

import sys

import click

from squire_pipelines.cli.text import one_line, plain
from squire_pipelines.errors import ExitCode, SquireError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def _say(label: str, text: str, color: str) -> None:
    import os  # noqa: PLC0415 - only on the way out

    plain_output = bool(os.environ.get("NO_COLOR"))
    head = f"{label}:" if plain_output else click.style(f"{label}:", fg=color, bold=True)
    click.echo(f"{head} {one_line(text, limit=2000)}", err=True)


def fail(message: str, hint: str = "", *, place: str = "") -> None:
    """Say what went wrong, where in what the person wrote (kept in lines), and what to do next, on standard error."""
    _say("error", message, "red")
    if place:
        click.echo(plain(place), err=True)
    if hint:
        _say("hint", hint, "yellow")


def note(message: str) -> None:
    """Say something to the person that is not the command's result, on standard error."""
    _say("hint", message, "yellow")


def _was_interrupted(error: BaseException) -> bool:
    # click turns Ctrl-C into Abort, with the interrupt as its cause or context.
    return any(isinstance(each, KeyboardInterrupt) for each in (error, error.__cause__, error.__context__))


def report(error: BaseException, *, verbose: bool) -> int:
    """Tell the person about `error` and return the exit code for it."""
    if isinstance(error, SquireError):
        fail(error.message, error.hint, place=getattr(error, "place", ""))
        code = int(error.exit_code)
    elif isinstance(error, KeyboardInterrupt | click.Abort):
        interrupted = _was_interrupted(error)
        click.echo("interrupted" if interrupted else "aborted", err=True)
        code = INTERRUPTED if interrupted else int(ExitCode.FAILED)
    elif isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    elif isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        fail(error.format_message(), f"see `{context.command_path} --help`" if context is not None else "")
        return error.exit_code
    else:
        hint = "" if verbose else "this is a fault in Squire; run the command again as `squire -v …` for the traceback"
        fail(f"{type(error).__name__}: {error}", hint)
        code = int(ExitCode.FAILED)
    if verbose:
        import traceback  # noqa: PLC0415 - only on the way out

        traceback.print_exception(error, file=sys.stderr)
    return code
