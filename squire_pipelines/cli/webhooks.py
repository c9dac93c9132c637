"""`squire webhooks`: the inbox as people see it. Receiving is the library's and the `dev` command's."""

import click

from squire_pipelines.cli import queries
from squire_pipelines.cli.context import (
    CliContext,
    after_option,
    emit_json,
    json_option,
    limit_option,
    more,
    pass_cli_context,
    table,
)
from squire_pipelines.cli.lazy import LazyGroup, command
from squire_pipelines.cli.parameters import repository_option
from squire_pipelines.cli.text import instant

webhooks = LazyGroup(name="webhooks", help="Deliveries and other requests to look at a repository.")


@command("list", examples=("squire webhooks list", "squire webhooks list --pending --json"))
@repository_option
@click.option("--pending", is_flag=True, help="Only those whose collection has not been made yet.")
@after_option()
@limit_option()
@json_option
@pass_cli_context
def list_deliveries(
    context: CliContext, repository: str | None, limit: int, after: int | None, *, pending: bool, as_json: bool
) -> None:
    """List deliveries and requests from the command line, newest first."""
    with context.ledger.read() as tx:
        rows = queries.delivery_page(tx, repository=repository, pending=pending, limit=limit, after=after)
    more(rows, limit)
    if as_json:
        emit_json(rows)
        return
    if not rows:
        click.echo("No deliveries.")
        return
    columns = ("id", "source", "event", "repository", "received", "tries", "collected", "applied", "error")
    cells = [
        (
            row["id"],
            row["source"],
            ".".join(part for part in (row["event"], row["action"]) if part),
            row["repository"],
            instant(row["received_at"]),
            row["tries"] or "",
            instant(row["collected_at"]),
            instant(row["applied_at"]),
            row["error"],
        )
        for row in rows
    ]
    context.console.print(table(columns, cells))


webhooks.add_command(list_deliveries)
