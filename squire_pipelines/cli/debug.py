"""`squire debug`: more lines, kept containers and bodies of calls, for one repository or all, until a time."""

from datetime import UTC, datetime, timedelta

import click

from squire_pipelines.cli.audited import record_command
from squire_pipelines.cli.context import CliContext, json_option, with_home, with_home_to_read
from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.parameters import REPOSITORY, SPAN
from squire_pipelines.cli.person import actor
from squire_pipelines.cli.text import age, instant
from squire_pipelines.domain.debugging import MAX_FOR, MAX_WINDOWS, DebugWindow, with_window
from squire_pipelines.errors import ConfigError, RefusedError
from squire_pipelines.observability.debugging import read_windows, write_windows
from squire_pipelines.terminal.output import write_line

debug = LazyGroup(name="debug", help="Write and keep more for one repository or all, until a time.")
_all_option = click.option("--repository", type=REPOSITORY, help="Only this repository; else all.")


@debug.command("on", examples=("squire debug on --repository owner/name --for 1h", "squire debug on --for 15m"))
@_all_option
@click.option(
    "--for", "span", type=SPAN, required=True, metavar="TIME", help="End after this time: 30m, 2h; at most 7d."
)
@with_home
def on(context: CliContext, repository: str | None, span: timedelta) -> None:
    """Write lines of the level debug, keep attempts' containers and the bodies of models' calls, for a time.

    It ends by itself. Running processes follow within a second; an attempt that has its container already keeps it as
    it is. Bodies are in the attempt's folder, without secrets, and have the repository's text.
    """
    if not timedelta(0) < span <= MAX_FOR:
        raise click.BadParameter("it lasts for more than 0 s and at most 7d", param_hint="--for")
    now = datetime.now(UTC)
    window = DebugWindow(_named(context, repository), now, now + span, actor())
    windows = with_window(read_windows(context.home.debug_file), window)
    if len(windows) > MAX_WINDOWS:
        raise RefusedError(
            f"{MAX_WINDOWS} repositories are debugged already",
            hint="`squire debug off`, or leave --repository out for all",
        )
    record_command(context, "debug.on", window.repository or "all repositories", until=window.until.isoformat())
    _write(context, windows)
    write_line(f"{_title(window)}: debugged until {instant(window.until)}")
    write_line("`squire logs --level debug --follow` shows the lines; `squire debug off` ends it sooner")


@debug.command("off", examples=("squire debug off", "squire debug off --repository owner/name"))
@_all_option
@with_home
def off(context: CliContext, repository: str | None) -> None:
    """End debugging: of one repository, or all of it. Kept containers are removed within some minutes."""
    now = datetime.now(UTC)
    windows = tuple(window for window in read_windows(context.home.debug_file) if window.is_open(now))
    name = _named(context, repository)
    left = tuple(window for window in windows if repository is not None and window.repository != name)
    if left == windows:
        write_line("nothing was debugged" if repository is None else f"{name} was not debugged by itself")
        return
    record_command(context, "debug.off", name or "all repositories")
    _write(context, left)
    write_line("; ".join(f"{_title(window)}: no longer debugged" for window in windows if window not in left))


@debug.command("status", examples=("squire debug status",))
@json_option
@with_home_to_read
def status(context: CliContext, *, as_json: bool) -> None:
    """Show what is debugged, until when, and who has switched it on."""
    from squire_pipelines.cli.context import emit_json  # noqa: PLC0415 - only for JSON

    now = datetime.now(UTC)
    windows = [window for window in read_windows(context.home.debug_file) if window.is_open(now)]
    if as_json:
        emit_json(windows)
        return
    for window in windows:
        left = age(now, window.until)
        write_line(f"{_title(window)}: until {instant(window.until)}, for {left} more, by {window.actor}")
    if not windows:
        write_line("nothing is debugged; `squire debug on --repository owner/name --for 1h` begins")


def _named(context: CliContext, repository: str | None) -> str:
    """Return how the settings spell a repository. Raises RefusedError for one that they do not have."""
    if repository is None:
        return ""
    name = context.settings.spelling_of(repository)
    if name is None:
        names = ", ".join(context.settings.repositories[:10])
        raise RefusedError(
            f"{repository} is not among the repositories of the settings", hint=f"they are: {names or 'none'}"
        )
    return name


def _write(context: CliContext, windows: tuple[DebugWindow, ...]) -> None:
    try:
        write_windows(context.home.debug_file, windows)
    except OSError as error:
        raise ConfigError(
            f"{context.home.debug_file} cannot be written: {error.strerror}", hint="`squire doctor` checks the home"
        ) from error


def _title(window: DebugWindow) -> str:
    return window.repository or "all repositories"
