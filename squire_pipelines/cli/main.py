"""The `squire` command: its global options, the names of its commands, and the place where errors become exit codes.

This module imports none of the commands, which are imported on use.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from squire_pipelines import __version__
from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.lazy import CONTEXT_SETTINGS, Lazy, LazyGroup
from squire_pipelines.errors import SquireError
from squire_pipelines.observability.debugging import debug_this_command
from squire_pipelines.observability.logging import LEVEL_VARIABLE, Component, Level, get_logger, set_level
from squire_pipelines.process_setup import set_up_process
from squire_pipelines.terminal.standard_streams import (
    READER_GONE,
    accept_any_encoding,
    flush_output,
    is_reader_gone,
    leave_quietly,
)

_CLI = "squire_pipelines.cli"
COMMANDS = {
    "init": Lazy(f"{_CLI}.init:init", "Write a commented config.toml."),
    "migrate": Lazy(f"{_CLI}.migrate:migrate", "Take over the old product's settings, secrets and tasks."),
    "run": Lazy(f"{_CLI}.run:run", "Run one cycle: collect, plan, dispatch, wait, report."),
    "demo": Lazy(f"{_CLI}.demo:demo", "Run the whole pipeline on this machine; nothing leaves it."),
    "dev": Lazy(f"{_CLI}.dev:dev", "Run Dagster's UI and daemon, the receiver, the board and metrics, until Ctrl-C."),
    "worker": Lazy(f"{_CLI}.worker:worker", "Take runs from the queue of several machines, until Ctrl-C."),
    "workers": Lazy(f"{_CLI}.workers:workers", "List, show and drain the workers of several machines."),
    "board": Lazy(f"{_CLI}.board:board", "Serve the board: web pages of what runs, waits and is wrong."),
    "doctor": Lazy(f"{_CLI}.doctor.command:doctor", "Check what Squire needs, and show the next step for each."),
    "status": Lazy(f"{_CLI}.status:status", "Show what runs, what waits for what, and what is wrong."),
    "logs": Lazy(f"{_CLI}.logs:logs", "Show the lines of all logs in the order of time, or those of one task."),
    "tasks": Lazy(f"{_CLI}.tasks:tasks", "List, show, approve, cancel, retry and watch tasks."),
    "schedules": Lazy(f"{_CLI}.schedules:schedules", "List, show, pause, resume and remove schedules of requests."),
    "trace": Lazy(f"{_CLI}.trace:trace", "Show what happened from a delivery to a pull request, as a tree."),
    "signals": Lazy(f"{_CLI}.signals:signals", "Read the repositories, and list the signals that were seen."),
    "plans": Lazy(f"{_CLI}.plans:plans", "Make, list, show and compare plans."),
    "budgets": Lazy(f"{_CLI}.budgets:budgets", "Show what work costs, and what it may cost."),
    "webhooks": Lazy(f"{_CLI}.webhooks:webhooks", "List, show, follow, filter and replay webhook deliveries."),
    "history": Lazy(f"{_CLI}.history:history", "Query, report, export and publish the warehouse."),
    "ledger": Lazy(f"{_CLI}.ledger:ledger", "Check, back up, restore and move the system of record."),
    "backup": Lazy(f"{_CLI}.backup:backup", "Back up ledger, settings, secrets and archive into one file."),
    "restore": Lazy(f"{_CLI}.backup:restore", "Put a backup into an empty home."),
    "audit": Lazy(f"{_CLI}.audit:audit", "List who did what that matters for security; verify and export the trail."),
    "alerts": Lazy(f"{_CLI}.alerts:alerts", "Show what is wrong, test who is told, and silence alerts until an end."),
    "metrics": Lazy(f"{_CLI}.metrics:metrics", "Serve metrics and health to those who run Squire."),
    "debug": Lazy(f"{_CLI}.debug:debug", "Write and keep more for one repository or all, until a time."),
    "config": Lazy(f"{_CLI}.config:config", "Show and check the settings."),
    "completion": Lazy(
        f"{_CLI}.completion_script:completion", "Print the script by which bash, zsh or fish completes squire."
    ),
    "secrets": Lazy(f"{_CLI}.secrets:secrets", "Keep secrets in the keychain or an encrypted file."),
    "agents": Lazy(
        f"{_CLI}.agents:agents", "Show agents, their transcripts, the container engine and the worker image."
    ),
}
# The old product's commands: they work, show their new names, and are not in the help.
_OLD = ("new", "start", "stop", "list", "retry", "ps", "watch", "clean", "followup", "webhook", "help", "steward")
_ATTRIBUTES = {"list": "list_", "help": "help_", "ls": "list_", "fu": "followup"}
ALIASES = {
    name: Lazy(f"{_CLI}.aliases:{_ATTRIBUTES.get(name, name)}", "Run a command by its old name.", hidden=True)
    for name in (*_OLD, "ls", "fu")
}


class _ReaderGone(Exception):  # noqa: N818 - it is no error: `head` has read what it wanted
    """Nobody reads what the command writes. Click would take an error of the system for a failure."""


@contextmanager
def _noticing_who_reads() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_reader_gone(error):
            raise _ReaderGone from error
        raise


class Root(LazyGroup):
    """The command itself, which turns every error into a message and an exit code."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse a command line, which may write the help."""
        with _noticing_who_reads():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _noticing_who_reads():
            return super().invoke(ctx)

    def main(  # type: ignore[override]  # one signature instead of click's overloads
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and exit with its code; without `standalone_mode`, return the code."""
        # The root callback sets its options; errors before the callback need the context too.
        context: CliContext = extra.setdefault("obj", CliContext())
        accept_any_encoding()
        try:
            with _noticing_who_reads():
                code = self._code(super().main, args, prog_name, context, **extra)
                flush_output()
        except _ReaderGone:
            leave_quietly()
            code = READER_GONE
        if standalone_mode:
            sys.exit(code)
        return code

    @staticmethod
    def _code(
        run: Callable[..., Any], args: Sequence[str] | None, prog_name: str | None, context: CliContext, **extra: Any
    ) -> int:
        try:
            code = run(args, prog_name, standalone_mode=False, **extra)
        except _ReaderGone:
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last place that can show an error to the person
            from squire_pipelines.cli.failures import report  # noqa: PLC0415 - only when a command fails

            code = report(error, verbose=context.verbose)
        return code if isinstance(code, int) else 0


@click.group(
    cls=Root,
    name="squire",
    lazy=COMMANDS | ALIASES,
    context_settings=CONTEXT_SETTINGS,
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 configuration, 4 not reachable, 5 refused, 6 partly.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Read the settings from this file; else SQUIRE_CONFIG, else config.toml in the configuration directory.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show a traceback when something fails.")
@click.option("-q", "--quiet", is_flag=True, help="Log errors only: the same as --log-level error.")
@click.option(
    "--debug",
    is_flag=True,
    help="Log all of this one command with -v, and keep containers and bodies of the work that it starts.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Log messages of this level and above, also in processes that are started; else logging.level.",
)
@click.version_option(__version__, "-V", "--version", prog_name="squire", message="%(prog)s %(version)s")
@click.pass_context
def cli(
    ctx: click.Context, config: Path | None, log_level: Level | None, *, verbose: bool, quiet: bool, debug: bool
) -> None:
    """Squire keeps your GitHub repositories in good order.

    It reads what is going on in them, plans the work, has coding agents do it in sandboxed containers, opens pull
    requests and records what became of them. Start with `squire demo`, then `squire init`.
    """
    context: CliContext = ctx.obj
    context.config, context.verbose = config, verbose or debug
    if quiet + debug + (log_level is not None) > 1:
        raise click.UsageError("--quiet, --debug and --log-level do not go together")
    log_level = "error" if quiet else "debug" if debug else log_level
    if debug:
        debug_this_command(datetime.now(UTC))
    if log_level is not None:
        os.environ[LEVEL_VARIABLE] = log_level  # wins over the file, also in child processes
        set_level(log_level)
    if log_level == "debug":
        _log_command(ctx)
    ctx.call_on_close(context.close)


def _log_command(ctx: click.Context) -> None:
    """Log what runs, where and for how long; never its words, which may be secret."""
    from squire_pipelines.home import Home  # noqa: PLC0415 - seldom needed

    log, began = get_logger(Component.CLI), time.monotonic()
    with suppress(SquireError):  # the command says what is wrong with the home
        home = str(Home.from_environment().state)
        log.debug("command starts", command=ctx.invoked_subcommand, version=__version__, home=home)
    ctx.call_on_close(
        lambda: log.debug("command ends", command=ctx.invoked_subcommand, seconds=round(time.monotonic() - began, 3))
    )


# Pydantic looks through all installed packages for plug-ins of its own when the first class is made. That takes a tenth
# of a second of each command, and Squire uses none.
_PYDANTIC_PLUGINS = ("PYDANTIC_DISABLE_PLUGINS", "__all__")


def main() -> None:
    """Run the command, or complete a command line: the entry point of the `squire` script."""
    os.environ.setdefault(*_PYDANTIC_PLUGINS)
    if (instruction := os.environ.get("_SQUIRE_COMPLETE")) is not None:
        from squire_pipelines.cli.completion import answer  # noqa: PLC0415 - only a shell needs it

        if answer(instruction, cli):
            return
    set_up_process(Component.CLI)
    cli.main(prog_name="squire")


def steward() -> None:
    """Run the old product's second program: the entry point of the `steward` script."""
    os.environ.setdefault(*_PYDANTIC_PLUGINS)
    set_up_process(Component.CLI)
    # Its own --verbose, --help and --version are those of `squire`, and its commands are in the old product's group.
    words = sys.argv[1:]
    cli.main(words if words[:1] in (["-V"], ["--version"]) else ["steward", *words], prog_name="squire")


if __name__ == "__main__":
    main()
