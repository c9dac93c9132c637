"""`squire dev`: Dagster's UI and daemon, receiver, endpoint and board in one command, which one Ctrl-C stops."""

import os
import time
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from squire_pipelines.cli.context import CliContext, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.run import hand_on_config
from squire_pipelines.errors import PortInUseError, SecretMissingError
from squire_pipelines.observability.logging import LEVEL_VARIABLE, set_level
from squire_pipelines.terminal.output import write_labelled, write_line

if TYPE_CHECKING:
    from squire_pipelines.reloading.in_force import SettingsInForce
    from squire_pipelines.reloading.process_status import ProcessStatus
    from squire_pipelines.sections.observability import ObservabilitySettings
    from squire_pipelines.settings.model import Settings

_KEEP_VARIABLE = "SQUIRE_AGENT__KEEP_FAILED_CONTAINERS"
_POLL_S = 0.5


@command(
    "dev",
    examples=(
        "squire dev                  # run everything until Ctrl-C",
        "squire dev --port 3001      # serve the UI on another port",
        "squire dev --no-webhooks    # run no receiver; the schedule reads the repositories every ten minutes",
        "squire dev --no-logs        # show no logs here; `squire logs --follow` does, elsewhere",
    ),
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Serve the UI on this port instead of pipeline.webserver_port."
)
@click.option("--webhooks/--no-webhooks", default=True, help="Receive webhook deliveries, or do not.")
@click.option(
    "--logs/--no-logs",
    default=True,
    help="Show the logs of all processes, at debug unless --log-level says otherwise, or do not.",
)
@click.option(
    "--reload/--no-reload", default=True, help="Take changed code of Squire and of plug-ins while it runs, or do not."
)
@click.option(
    "--keep-failed/--no-keep-failed",
    default=None,
    help="Keep the containers of failed attempts, the newest ten, or do not; by default as "
    "agent.keep_failed_containers says, and where it says nothing they are kept.",
)
@with_context
def dev(
    context: CliContext, port: int | None, *, webhooks: bool, logs: bool, reload: bool, keep_failed: bool | None
) -> None:
    """Run Dagster's UI and daemon, the webhook receiver, the board and the endpoint of metrics, until Ctrl-C.

    What there is to open is said once it answers. A changed settings' file is taken while they run, when it is valid.
    One that is not changes nothing: what was valid last holds, also at the next start. SIGHUP has it read again;
    `squire config reload` says who has taken what. Changed code of Squire's, and of plug-ins that are not installed as
    wheels, is loaded in a process of its own first: what cannot be loaded is named in one line and not taken. The
    processes are started again with code that can, between two runs.
    """
    from squire_pipelines.health.process_records import starting  # noqa: PLC0415 - other commands start no servers

    hand_on_config(context)
    with starting(context.home.run, "daemon"):  # it takes a while until there is one
        in_force = _follow_settings(context)
        _keep_failed_containers(in_force, keep_failed)
        if logs and LEVEL_VARIABLE not in os.environ:
            _hand_on(LEVEL_VARIABLE, "debug")
            set_level("warning")  # of this process: its lines are for people
        asked = click.get_current_context().get_parameter_source("webhooks") is ParameterSource.COMMANDLINE
        webhooks = webhooks and _has_webhook_secret(in_force.settings, is_asked=asked)
        _serve(context, in_force, port, webhooks=webhooks, logs=logs, reload=reload)


def _serve(
    context: CliContext, in_force: "SettingsInForce", port: int | None, *, webhooks: bool, logs: bool, reload: bool
) -> None:
    from squire_pipelines.cli.dev_log import DevLog  # noqa: PLC0415 - other commands start no servers
    from squire_pipelines.cli.unlock import unlock_store  # noqa: PLC0415 - likewise
    from squire_pipelines.reloading.process_status import StatusFile, status_of  # noqa: PLC0415 - likewise
    from squire_pipelines.runtime.dev_servers import DevServers  # noqa: PLC0415 - likewise
    from squire_pipelines.runtime.processes import interruptible  # noqa: PLC0415 - likewise
    from squire_pipelines.runtime.services import Services  # noqa: PLC0415 - likewise
    from squire_pipelines.settings.restarts import Part  # noqa: PLC0415 - likewise

    settings = in_force.settings
    unlock_store(context, settings.secret_sources)
    ui = port or settings.pipeline.webserver_port
    _check_servers(settings, ui, webhooks=webhooks)
    context.ledger.ensure_schema()
    shown = DevLog(context.home) if logs else None
    with (
        interruptible(reload=in_force.ask) as check_interrupt,
        Services(settings, say=write_line) as services,
        StatusFile(in_force.home, Part.DEV) as status,
    ):
        try:
            servers = DevServers(services, context.ledger, settings, say=write_line, follows_code=reload)
            servers.start(ui, webhooks=webhooks)
            before = status_of(in_force, Part.DEV)
            while True:
                status.write(before)
                if shown is not None:
                    shown.look()
                time.sleep(_POLL_S)
                check_interrupt()
                services.keep_up(gives_up=False)
                in_force.check()
                servers.look(in_force.settings)
                now = status_of(in_force, Part.DEV)
                now = now.model_copy(update={"restart": servers.not_taken(in_force.settings)})
                _tell_change(before, now)
                before = now
        except KeyboardInterrupt:
            write_line("stopping …")


def _hand_on(variable: str, value: str) -> None:
    """Set a variable for the processes that the command starts, until it ends."""
    before = os.environ.get(variable)
    os.environ[variable] = value

    def restore() -> None:
        if before is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = before

    click.get_current_context().call_on_close(restore)


def _keep_failed_containers(in_force: "SettingsInForce", keep_failed: bool | None) -> None:  # noqa: FBT001 - an option's value
    """Have this process and those that it starts keep them, or not, where the settings do not say it."""
    if keep_failed is None:
        agent = in_force.settings.agent
        if "keep_failed_containers" in agent.model_fields_set or agent.warm_pool.size:
            return  # a container of the pool was made without what is needed to look into it later
        keep_failed = True
    _hand_on(_KEEP_VARIABLE, "true" if keep_failed else "false")
    in_force.check()


def _has_webhook_secret(settings: "Settings", *, is_asked: bool) -> bool:
    """Return whether deliveries can be verified; else say how to go on. Raises SecretMissingError if they are to be."""
    from squire_pipelines.webhooks.signing_secrets import read_signing_secrets  # noqa: PLC0415 - likewise

    try:
        read_signing_secrets(settings.webhooks, settings.secret_sources, settings.recorded_tenants)
    except SecretMissingError as error:
        if is_asked:
            raise
        write_labelled("warning", f"no webhook is received: {error.message}", color="yellow")
        write_labelled(
            "hint",
            "the schedule reads the repositories meanwhile. For webhooks: `squire secrets set webhook-secret`, enter "
            "the same secret at GitHub, and start `squire dev` again; `--no-webhooks` leaves this warning out",
            color="yellow",
        )
        return False
    return True


def _check_servers(settings: "Settings", ui: int, *, webhooks: bool) -> None:
    """Check that each server can have its port and its secret. Raises UsageError, PortInUseError, ConfigError."""
    from squire_pipelines.board.tenant_logins import login_tokens  # noqa: PLC0415 - other commands start no servers
    from squire_pipelines.runtime.ports import check_free  # noqa: PLC0415 - likewise
    from squire_pipelines.sections.board import is_loopback  # noqa: PLC0415 - likewise

    check_free(settings.pipeline.webserver_host, ui, setting="pipeline.webserver_port")
    if not is_loopback(settings.pipeline.webserver_host):
        write_labelled(
            "warning",
            f"Dagster's UI listens on {settings.pipeline.webserver_host} and asks nobody for a password: "
            "whoever reaches it may start and stop runs",
            color="yellow",
        )
    if webhooks:
        if settings.webhooks.port == ui:
            raise click.UsageError(f"--port {ui} is webhooks.port: choose another, or use --no-webhooks")
        check_free(settings.webhooks.host, settings.webhooks.port, setting="webhooks.port")
    if settings.observability.enabled:
        _check_endpoint(settings.observability)
    if settings.board.enabled:
        login_tokens(settings)


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
