"""`squire audit`: who did what that matters."""

from typing import Any

import click

from squire_pipelines.cli.context import ROW_ID, CliContext, Columns, json_option, limit_option, with_context
from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.parameters import MOMENT
from squire_pipelines.ledger.audit import audit_page

audit = LazyGroup(name="audit", help="List who did what: approvals, cancels, retries, deletions, restores.")
_COLUMNS: Columns = {
    "id": "id",
    "at": "at",
    "actor": "actor",
    "action": "action",
    "subject": "subject",
    "reason": lambda entry: entry.detail.get("reason"),
}


@audit.command("list", examples=("squire audit list", "squire audit list --action tasks.cancel --since 7d --json"))
@click.option("--action", metavar="NAME", help="Select only this action, for example tasks.approve or ledger.restore.")
@click.option("--actor", metavar="NAME", help="Select only what this person or part of Squire did.")
@click.option("--since", type=MOMENT, metavar="TIME", help="Begin at this time: a date, or 7d or 12h ago.")
@click.option("--before", type=ROW_ID, metavar="NUMBER", help="Go on before the entry of this number: the next page.")
@limit_option(100)
@json_option
@with_context
def list_audit(context: CliContext, /, limit: int, *, as_json: bool, **filters: Any) -> None:
    """List the audit trail, newest first."""
    with context.ledger.read() as tx:
        entries = audit_page(tx, limit=limit, **filters)
    context.write_list(
        entries, _COLUMNS, as_json=as_json, empty="Nothing was done yet.", limit=limit, next_option="--before"
    )
