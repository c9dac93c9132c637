"""`squire metrics`: the operator's endpoint, where `squire dev` does not start it."""

from squire_pipelines.cli.context import CliContext, with_context
from squire_pipelines.cli.lazy import LazyGroup

metrics = LazyGroup(name="metrics", help="Serve metrics and health to those who run Squire.")


@metrics.command("serve", examples=("squire metrics serve",))
@with_context
def serve(context: CliContext) -> None:
    """Serve metrics on `observability.port` until Ctrl-C: for Prometheus, at /metrics.

    `squire dev` does the same; use this where each process is started by itself.
    """
    from squire_pipelines.process_setup import outlive_hang_ups  # noqa: PLC0415 - other commands serve nothing

    outlive_hang_ups()  # before what takes longer to import
    from squire_pipelines.cli.run import hand_on_config  # noqa: PLC0415 - as above
    from squire_pipelines.endpoint.operator_server import main  # noqa: PLC0415 - likewise

    hand_on_config(context)
    if code := main():
        raise SystemExit(code)
