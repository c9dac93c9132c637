"""`squire dev`: Dagster's UI, its daemon and the webhook receiver in one command, which one Ctrl-C stops."""

import time

import click

from squire_pipelines.cli.context import CliContext, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.run import hand_on_config
from squire_pipelines.terminal.output import write_line


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
    """Run Dagster's UI and daemon and the webhook receiver, until Ctrl-C."""
    from squire_pipelines.cli.unlock import unlock_store  # noqa: PLC0415 - other commands start no servers
    from squire_pipelines.runtime.ports import check_free  # noqa: PLC0415 - likewise
    from squire_pipelines.runtime.processes import interruptible  # noqa: PLC0415 - likewise
    from squire_pipelines.runtime.services import Services  # noqa: PLC0415 - likewise
    from squire_pipelines.secrets.lookup import require_secret  # noqa: PLC0415 - likewise

    hand_on_config(context)
    settings = context.settings
    unlock_store(context, settings.secret_sources)
    ui = port or settings.pipeline.webserver_port
    check_free("127.0.0.1", ui, setting="pipeline.webserver_port")
    if webhooks:
        if settings.webhooks.port == ui:
            raise click.UsageError(f"--port {ui} is webhooks.port: choose another, or use --no-webhooks")
        require_secret("webhook-secret", settings.secret_sources)
        check_free(settings.webhooks.host, settings.webhooks.port, setting="webhooks.port")
    context.ledger.ensure_schema()
    with interruptible() as check_interrupt, Services(settings, say=write_line) as services:
        try:
            if webhooks:
                services.start_receiver()
            write_line("starting Dagster")
            services.start_daemon()
            services.start_webserver(ui)
            write_line(f"UI:        http://127.0.0.1:{ui}")
            if webhooks:
                write_line(f"webhooks:  http://{settings.webhooks.host}:{settings.webhooks.port}/webhooks/github")
            write_line(f"logs:      {settings.home.run}")
            write_line("Ctrl-C stops everything.")
            while True:
                time.sleep(1.0)
                check_interrupt()
                services.keep_up()
        except KeyboardInterrupt:
            write_line("stopping …")
