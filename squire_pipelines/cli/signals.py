"""`squire signals`: the facts that were seen, and how the readings of their sources ended."""

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
from squire_pipelines.cli.text import age, instant
from squire_pipelines.domain.signals import SignalKind

signals = LazyGroup(name="signals", help="What was seen in the repositories.")


@command("list", examples=("squire signals list", "squire signals list --kind failed_ci --repository owner/name"))
@repository_option
@click.option("--kind", type=click.Choice([kind.value for kind in SignalKind]), help="Only this kind.")
@click.option("--gone", is_flag=True, help="Also those that are no longer there.")
@after_option()
@limit_option()
@json_option
@pass_cli_context
def list_signals(
    context: CliContext,
    repository: str | None,
    kind: str | None,
    limit: int,
    after: int | None,
    *,
    gone: bool,
    as_json: bool,
) -> None:
    """List signals, the last seen first."""
    with context.ledger.read() as tx:
        rows = queries.signal_page(tx, repository=repository, kind=kind, gone=gone, limit=limit, after=after)
        now = tx.now
    more(rows, limit)
    if as_json:
        emit_json(rows)
        return
    if not rows:
        click.echo("No signals.")
        return
    columns = ("repository", "kind", "key", "title", "link", "seen", "gone")
    cells = [
        (
            row["repository"],
            row["kind"],
            row["key"],
            row["title"],
            row["url"],
            age(row["last_seen_at"], now),
            age(row["gone_at"], now),
        )
        for row in rows
    ]
    context.console.print(table(columns, cells))


@command("collections", examples=("squire signals collections", "squire signals collections --json"))
@repository_option
@limit_option(200)
@json_option
@pass_cli_context
def list_collections(context: CliContext, repository: str | None, limit: int, *, as_json: bool) -> None:
    """List the newest reading of each source of each repository.

    A source that failed says why: `stale` keeps the last good signals, `failed` never had any.
    """
    with context.ledger.read() as tx:
        rows = queries.newest_collections(tx, repository=repository, limit=limit)
    if as_json:
        emit_json(rows)
        return
    if not rows:
        click.echo("Nothing was read yet: `squire run` reads all sources of all repositories.")
        return
    columns = ("repository", "source", "status", "signals", "changed", "read at", "error")
    cells = [
        (
            row["repository"],
            row["source"],
            row["status"],
            f"{row['signals']}{'+' if row['truncated'] else ''}",
            row["changed"],
            instant(row["ended_at"]),
            row["error"],
        )
        for row in rows
    ]
    context.console.print(table(columns, cells))


signals.add_command(list_signals)
signals.add_command(list_collections)
