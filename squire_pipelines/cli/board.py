"""`squire board`: the board alone, in this command's own process."""

import click

from squire_pipelines.cli.context import CliContext, with_context
from squire_pipelines.cli.lazy import command


@command("board", examples=("squire board", "squire board --port 8500"))
@click.option("--port", type=click.IntRange(0, 65535), help="Listen there instead of on board.port; 0 takes any.")
@with_context
def board(context: CliContext, port: int | None) -> None:
    """Serve the board until Ctrl-C: web pages of what runs, waits and is wrong, and of each task.

    `squire dev` does the same; use this where each process is started by itself. A line of JSON says where it listens.
    On another address than loopback it starts with a login alone: see `board.login`.
    """
    from squire_pipelines.process_setup import outlive_hang_ups, set_up_process  # noqa: PLC0415 - others serve nothing

    outlive_hang_ups()  # before what takes longer to import
    from squire_pipelines.board.board_server import main  # noqa: PLC0415 - other commands start no server
    from squire_pipelines.cli.run import hand_on_config  # noqa: PLC0415 - likewise
    from squire_pipelines.cli.unlock import unlock_store  # noqa: PLC0415 - likewise
    from squire_pipelines.observability.logging import Component  # noqa: PLC0415 - likewise

    hand_on_config(context)
    unlock_store(context, context.settings.secret_sources)
    set_up_process(Component.BOARD)
    if code := main(port=port):
        raise SystemExit(code)
