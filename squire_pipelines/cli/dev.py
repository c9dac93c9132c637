"""`squire dev`: Dagster's UI and daemon, receiver, endpoint and board in one command, which one Ctrl-C stops."""

import time
from typing import TYPE_CHECKING

import click

from squire_pipelines.cli.context import CliContext, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.run import hand_on_config
from squire_pipelines.errors import PortInUseError
from squire_pipelines.terminal.output import write_labelled, write_line

if TYPE_CHECKING:
    from squire_pipelines.reloading.in_force import SettingsInForce
    from squire_pipelines.reloading.process_status import ProcessStatus
    from squire_pipelines.runtime.services import Services
    from squire_pipelines.sections.observability import ObservabilitySettings
    from squire_pipelines.settings.model import Settings


@command(
    "dev",
    examples=(
        "squire dev                  # run everything until Ctrl-C",
        "squire dev --port 3001      # serve the UI on another port",
        "squire dev --no-webhooks    # run no receiver; the schedule reads the repositories every ten minutes",
    ),
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Serve the UI on this port instead of pipeline.webserver_port."
)
@click.option("--webhooks/--no-webhooks", default=True, help="Receive webhook deliveries, or do not.")
@with_context
def dev(context: CliContext, port: int | None, *, webhooks: bool) -> None:
    """Run Dagster's UI and daemon, the webhook receiver, the board and the endpoint of metrics, until Ctrl-C.

    A changed settings' file is taken while they run, when it is valid. One that is not changes nothing: what was valid
    last holds, also at the next start. SIGHUP has it read again; `squire config reload` says who has taken what.
    """
    from squire_pipelines.health.process_records import starting  # noqa: PLC0415 - other commands start no servers

    hand_on_config(context)
    with starting(context.home.run, "daemon"):  # it takes a while until there is one
        _serve(context, _follow_settings(context), port, webhooks=webhooks)


def _serve(context: CliContext, in_force: "SettingsInForce", port: int | None, *, webhooks: bool) -> None:
    from squire_pipelines.cli.unlock import unlock_store  # noqa: PLC0415 - other commands start no servers
    from squire_pipelines.reloading.process_status import StatusFile, status_of  # noqa: PLC0415 - likewise
    from squire_pipelines.runtime.processes import interruptible  # noqa: PLC0415 - likewise
    from squire_pipelines.runtime.services import Services  # noqa: PLC0415 - likewise
    from squire_pipelines.settings.restarts import Part  # noqa: PLC0415 - likewise

    settings = in_force.settings
    unlock_store(context, settings.secret_sources)
    ui = port or settings.pipeline.webserver_port
    _check_servers(settings, ui, webhooks=webhooks)
    context.ledger.ensure_schema()
    with (
        interruptible(reload=in_force.ask) as check_interrupt,
        Services(settings, say=write_line) as services,
        StatusFile(in_force.home, Part.DEV) as status,
    ):
        try:
            _start_servers(services, settings, ui, webhooks=webhooks)
            before = status_of(in_force, Part.DEV)
            while True:
                status.write(before)
                time.sleep(1.0)
                check_interrupt()
                services.keep_up(gives_up=False)
                in_force.check()
                now = status_of(in_force, Part.DEV)
                _tell_change(before, now)
                before = now
        except KeyboardInterrupt:
            write_line("stopping …")


def _check_servers(settings: "Settings", ui: int, *, webhooks: bool) -> None:
    """Check that each server can have its port and its secret. Raises UsageError, PortInUseError, ConfigError."""
    from squire_pipelines.board.board_server import login_token  # noqa: PLC0415 - other commands start no servers
    from squire_pipelines.runtime.ports import check_free  # noqa: PLC0415 - likewise
    from squire_pipelines.webhooks.signing_secrets import read_signing_secrets  # noqa: PLC0415 - likewise

    check_free("127.0.0.1", ui, setting="pipeline.webserver_port")
    if webhooks:
        if settings.webhooks.port == ui:
            raise click.UsageError(f"--port {ui} is webhooks.port: choose another, or use --no-webhooks")
        read_signing_secrets(settings.webhooks, settings.secret_sources)
        check_free(settings.webhooks.host, settings.webhooks.port, setting="webhooks.port")
    if settings.observability.enabled:
        _check_endpoint(settings.observability)
    if settings.board.enabled:
        login_token(settings)
        check_free(settings.board.host, settings.board.port, setting="board.port")


def _start_servers(services: "Services", settings: "Settings", ui: int, *, webhooks: bool) -> None:
    """Start everything, and say where it is."""
    from squire_pipelines.sections.board import board_address  # noqa: PLC0415 - other commands start no servers

    if webhooks:
        services.start_receiver()
    if settings.observability.enabled:
        services.start_endpoint()
    if settings.board.enabled:
        services.start_board()
    write_line("starting Dagster")
    services.start_daemon()
    services.start_webserver(ui)
    write_line(f"UI:        http://127.0.0.1:{ui}")
    if settings.board.enabled:
        write_line(f"board:     {board_address(settings.board)}")
    if webhooks:
        write_line(f"webhooks:  http://{settings.webhooks.host}:{settings.webhooks.port}/webhooks/github")
    if settings.observability.enabled:
        write_line(f"metrics:   http://{settings.observability.host}:{settings.observability.port}/metrics")
    write_line(f"logs:      {settings.home.run}")
    write_line("Ctrl-C stops everything.")


def _follow_settings(context: CliContext) -> "SettingsInForce":
    """Return what follows the settings of this home, told of where the file is not valid. Raises ConfigError."""
    from squire_pipelines.reloading.in_force import settings_in_force  # noqa: PLC0415 - likewise

    in_force = settings_in_force(on_taken=lambda settings: settings.logging.apply())
    state = in_force.state
    if state.refusal is None:
        _ = context.settings  # which tells of variables that set nothing
    else:
        context.settings = state.settings
        since = f"those of {state.taken_at:%Y-%m-%d %H:%M} UTC hold, from {in_force.last_good.path}"
        write_labelled("warning", f"the settings are refused, and {since}: {state.refusal.reason}", color="red")
    return in_force


def _check_endpoint(settings: "ObservabilitySettings") -> None:
    """Warn where the endpoint's port is in use: it is not worth stopping the work, and the endpoint waits for it."""
    from squire_pipelines.runtime.ports import check_free  # noqa: PLC0415 - other commands start no servers

    try:
        check_free(settings.host, settings.port, setting="observability.port")
    except PortInUseError as error:
        write_labelled("warning", f"{error.message}: metrics are served when it is free", color="yellow")
        write_labelled("hint", error.hint, color="yellow")


def _tell_change(before: "ProcessStatus", now: "ProcessStatus") -> None:
    if now.reason and now.reason != before.reason:
        text = f"the changed settings are refused, and the version {now.version} holds: {now.reason}"
        write_labelled("warning", text, color="red")
    elif (now.version, now.reason) != (before.version, before.reason):
        write_line(f"settings: the version {now.version} is in force")
    # All parts run in this command's processes: its restart is theirs.
    if now.restart and now.restart != before.restart:
        write_labelled("hint", f"start `squire dev` again for {', '.join(now.restart)}", color="yellow")
