"""`squire webhooks serve`: the receiver alone, in this command's own process."""

import click

from squire_pipelines.cli.context import CliContext, with_context
from squire_pipelines.cli.lazy import command


@command(
    "serve",
    examples=(
        "squire webhooks serve",
        "squire webhooks serve --host 0.0.0.0 --port 8471",
        "squire webhooks serve --insecure-no-secret   # on loopback alone: deliveries are not verified",
    ),
)
@click.option("--host", help="Listen there instead of on webhooks.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Likewise, instead of on webhooks.port; 0 takes any.")
@click.option("--insecure-no-secret", is_flag=True, help="Verify nothing. Refused elsewhere than on loopback.")
@with_context
def serve(context: CliContext, host: str | None, port: int | None, *, insecure_no_secret: bool) -> None:
    """Receive deliveries until Ctrl-C or SIGTERM, without Dagster; `squire dev` has a receiver of its own.

    A line of JSON says where it listens. GitHub's deliveries are taken at /webhooks/github and /webhook, /healthz and
    /readyz tell how the process is. Changed settings and secrets hold within a second; SIGHUP has them read again.
    """
    from squire_pipelines.process_setup import outlive_hang_ups, set_up_process  # noqa: PLC0415 - others serve nothing

    outlive_hang_ups()  # before what takes longer to import
    from squire_pipelines.cli.run import hand_on_config  # noqa: PLC0415 - other commands start no server
    from squire_pipelines.cli.unlock import unlock_store  # noqa: PLC0415 - likewise
    from squire_pipelines.observability.logging import Component  # noqa: PLC0415 - likewise
    from squire_pipelines.webhooks.serve import ServeOptions, exit_with, main  # noqa: PLC0415 - likewise

    hand_on_config(context)
    if not insecure_no_secret:
        unlock_store(context, context.settings.secret_sources)
    set_up_process(Component.WEBHOOKS)
    exit_with(main(ServeOptions(host, port, verifies_nothing=insecure_no_secret)))
