"""`squire history`: the warehouse, the DuckDB file that people query. How it is built and guarded is the library's."""

import click

from squire_pipelines.cli.context import CliContext, pass_cli_context
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import Lazy, LazyGroup, command
from squire_pipelines.cli.text import size

_CLI = "squire_pipelines.cli"
history = LazyGroup(
    name="history",
    help="Query, report, export and publish the warehouse.",
    lazy={
        "sql": Lazy(f"{_CLI}.history_sql:sql", "Ask the warehouse."),
        "shell": Lazy(f"{_CLI}.history_shell:shell", "Ask the warehouse one question after the other."),
        "report": Lazy(f"{_CLI}.history_report:report", "Say how things went, here or as a page with plots."),
        "export": Lazy(f"{_CLI}.history_export:export", "Write the tables as Parquet, one file per table and day."),
    },
)


@command("path", examples=('duckdb -readonly "$(squire history path)"',))
@pass_cli_context
def path(context: CliContext) -> None:
    """Print where the warehouse's file is, for other programs. Open it read-only."""
    click.echo(context.home.warehouse)
    if not context.home.warehouse.exists():
        note("it has not been published yet: `squire history publish`")


@command("publish", examples=("squire history publish", "squire history publish --full"))
@click.option("--full", is_flag=True, help="Read the whole ledger and the archive anew, not only what changed.")
@pass_cli_context
def publish(context: CliContext, *, full: bool) -> None:
    """Bring the warehouse up to date with the ledger, and put it in the place of the old one."""
    from squire_pipelines.warehouse.publish import publish_configured  # noqa: PLC0415 - DuckDB

    done = publish_configured(context.ledger, context.settings, full=full)
    changed = f"{sum(done.changed.values())} of {sum(done.rows.values())} rows written"
    click.echo(f"published {context.home.warehouse}: {changed}, {size(done.bytes)}, {done.seconds:.1f} s")
    if done.mode == "full" and not full:
        note(f"everything was read anew: {done.reason}")


history.add_command(path)
history.add_command(publish)
