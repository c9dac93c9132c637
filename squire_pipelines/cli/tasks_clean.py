"""`squire tasks clean`: moving what was kept long enough to the archive."""

from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import SPAN
from squire_pipelines.cli.text import size
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger.task_query import FINAL_STATUSES

if TYPE_CHECKING:
    from squire_pipelines.warehouse.archive import ArchivingResult


@command(
    "clean",
    examples=(
        "squire tasks clean --dry-run",
        "squire tasks clean",
        "squire tasks clean --older-than 30d --status failed --status cancelled",
    ),
)
@click.option("--dry-run", is_flag=True, help="Show what would be archived, and change nothing.")
@click.option("--older-than", type=SPAN, metavar="SPAN", help="Archive only tasks that ended so long ago, as 7d.")
@click.option(
    "--status",
    "statuses",
    type=click.Choice(FINAL_STATUSES),
    multiple=True,
    help="Archive only tasks in this state; may be repeated.",
)
@json_option
@with_context
def clean_tasks(
    context: CliContext, older_than: timedelta | None, statuses: tuple[str, ...], *, dry_run: bool, as_json: bool
) -> None:
    """Archive and delete tasks that ended long ago, with all that belongs to them, and other old rows.

    The rows are written to Parquet files beside the warehouse, which still has them; the ledger keeps one line for each
    task. Tasks with an open pull request stay, and so do those that others wait for. With `--older-than` or
    `--status`, only tasks are archived.
    """
    from squire_pipelines.warehouse.archive import archive_old_rows, retention_from  # noqa: PLC0415 - DuckDB

    rules = retention_from(context.settings.retention)
    if older_than is not None or statuses:
        kept_for = rules.keep["tasks"] if older_than is None else older_than
        selected = tuple(TaskStatus(status) for status in statuses) or rules.statuses
        rules = replace(rules, keep={"tasks": kept_for}, statuses=selected)

    def progress(table: str, count: int) -> None:
        click.echo(f"{table}: {count} archived", err=True)

    result = archive_old_rows(
        context.ledger,
        context.home.archive,
        rules,
        dry_run=dry_run,
        most=context.settings.retention.max_rows_per_run,
        progress=progress,
    )
    if as_json:
        content = asdict(result)
        content["held"] = content.pop("kept")
        emit_json(content)
    else:
        _write(result)


def _write(result: "ArchivingResult") -> None:
    verb = "would be archived" if result.dry_run else "archived and deleted"
    if not result.rows:
        click.echo("Nothing is old enough to be archived.")
    for table, count in result.rows.items():
        click.echo(f"{table}: {count} {verb}")
    for reason, count in result.kept.items():
        click.echo(f"tasks: {count} stay: {reason}")
    if result.files:
        click.echo(f"{len(result.files)} files, {size(result.bytes)}")
    if result.more:
        click.echo("More rows are old enough: run the command again.")
