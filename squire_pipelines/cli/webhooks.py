"""`squire webhooks`: the deliveries in the inbox. Receiving them is the library's and the `dev` command's work."""

import click

from squire_pipelines.cli import queries
from squire_pipelines.cli.context import CliContext, Columns, page_options
from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.parameters import repository_option

webhooks = LazyGroup(name="webhooks", help="List webhook deliveries and other requests to read a repository.")


@webhooks.command("list", examples=("squire webhooks list", "squire webhooks list --pending --json"))
@repository_option
@click.option("--pending", is_flag=True, help="Select only those whose collection has not been made yet.")
@page_options()
def list_deliveries(
    context: CliContext, repository: str | None, limit: int, after: int | None, *, pending: bool, as_json: bool
) -> None:
    """List webhook deliveries and requests from the command line, newest first."""
    with context.ledger.read() as tx:
        rows = queries.delivery_page(tx, repository=repository, pending=pending, limit=limit, after=after)
    columns: Columns = {
        "id": "id",
        "source": "source",
        "event": lambda row: ".".join(part for part in (row["event"], row["action"]) if part),
        "repository": "repository",
        "received": "received_at",
        "tries": lambda row: row["tries"] or "",
        "collected": "collected_at",
        "applied": "applied_at",
        "error": "error",
    }
    context.write_list(rows, columns, as_json=as_json, empty="There are no deliveries.", limit=limit)
