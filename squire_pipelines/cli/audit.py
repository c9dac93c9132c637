"""`squire audit`: who did what that matters."""

from datetime import datetime

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, limit_option, pass_cli_context, table
from squire_pipelines.cli.lazy import LazyGroup, command
from squire_pipelines.cli.parameters import MOMENT
from squire_pipelines.ledger.records import audit_page

audit = LazyGroup(name="audit", help="Who did what that matters: approvals, cancels, retries, deletions, restores.")


@command("list", examples=("squire audit list", "squire audit list --action tasks.cancel --since 7d --json"))
@click.option("--action", metavar="NAME", help="Only this, for example tasks.approve or ledger.restore.")
@click.option("--actor", metavar="NAME", help="Only by this person or part of Squire.")
@click.option("--since", type=MOMENT, metavar="TIME", help="Only then or later: a date, or 7d or 12h ago.")
@click.option("--before", type=int, metavar="NUMBER", help="Go on before the entry of this number: the next page.")
@limit_option(100)
@json_option
@pass_cli_context
def list_audit(
    context: CliContext,
    *,
    limit: int,
    action: str | None,
    actor: str | None,
    since: datetime | None,
    before: int | None,
    as_json: bool,
) -> None:
    """List the audit trail, newest first."""
    with context.ledger.read() as tx:
        rows = audit_page(tx, action=action, actor=actor, since=since, before=before, limit=limit)
    if as_json:
        emit_json(rows)
    elif not rows:
        click.echo("Nothing was done.")
    else:
        columns = ("id", "at", "actor", "action", "subject", "reason")
        cells = [
            (
                row["id"],
                f"{row['at']:%Y-%m-%d %H:%M:%S}",
                row["actor"],
                row["action"],
                row["subject"],
                _reason(row["detail"]),
            )
            for row in rows
        ]
        context.console.print(table(columns, cells, keep=("actor", "action")))
    if len(rows) == limit:
        click.echo(f"more: squire audit list --before {rows[-1]['id']}", err=True)


def _reason(detail: object) -> object:
    return detail.get("reason") if isinstance(detail, dict) else None


audit.add_command(list_audit)
