"""`squire history`: the warehouse, the DuckDB file that people query. The library builds and guards it."""

import click

from squire_pipelines.cli.context import CliContext, with_context
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import Lazy, LazyGroup
from squire_pipelines.cli.text import size

_CLI = "squire_pipelines.cli"
history = LazyGroup(
    name="history",
    help="Query, report, export and publish the warehouse.",
    lazy={
        "sql": Lazy(f"{_CLI}.history_sql:sql", "Ask the warehouse one question."),
        "shell": Lazy(f"{_CLI}.history_shell:run_shell", "Ask the warehouse one question after another."),
        "report": Lazy(f"{_CLI}.history_report:report", "Report how things went, here or as a page with plots."),
        "export": Lazy(f"{_CLI}.history_export:export", "Write the tables as Parquet, one file per table and day."),
    },
)


@history.command("path", examples=('duckdb -readonly "$(squire history path)"',))
@with_context
def path(context: CliContext) -> None:
    """Print where the warehouse's file is, for other programs, which have to open it read-only."""
    click.echo(context.home.warehouse)
    if not context.home.warehouse.exists():
        note("the warehouse has not been published yet: run `squire history publish`")


@history.command("publish", examples=("squire history publish", "squire history publish --full"))
@click.option("--full", is_flag=True, help="Read the whole ledger and the archive again, not only what changed.")
@with_context
def publish(context: CliContext, *, full: bool) -> None:
    """Write a new warehouse from the ledger and put it in the place of the old one."""
    from squire_pipelines.warehouse.publish import publish_warehouse  # noqa: PLC0415 - DuckDB

    settings = context.settings
    done = publish_warehouse(
        context.ledger, context.home.warehouse, settings.warehouse, limits_of=settings.budgets_for, full=full
    )
    changed = f"{sum(done.changed.values())} of {sum(done.rows.values())} rows written"
    click.echo(f"published {context.home.warehouse}: {changed}, {size(done.bytes)}, {done.seconds:.1f} s")
    if done.mode == "full" and not full:
        note(f"the whole ledger was read again: {done.reason}")
