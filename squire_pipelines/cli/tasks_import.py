"""`squire tasks import`: the old product's tasks, or an export, into the ledger."""

from dataclasses import asdict
from pathlib import Path

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, pass_cli_context, table
from squire_pipelines.cli.lazy import command
from squire_pipelines.ledger import importing

_PROGRESS = 10_000


@command(
    "import",
    examples=(
        "squire tasks import ~/.squire/tasks",
        "squire tasks import ./steward-state.json",
        "squire tasks import tasks.jsonl --json",
    ),
)
@click.argument("path", type=click.Path(path_type=Path))
@json_option
@pass_cli_context
def import_tasks(context: CliContext, path: Path, *, as_json: bool) -> None:
    """Take over tasks of the old product, or of an export.

    PATH is a folder of task files, one of them, Steward's state file, or a file that `squire tasks export` wrote. It is
    only read, and may be imported again: what is known is passed over. Pending tasks become proposed, so that a person
    decides. When something could not be taken, the rest is, and the exit code is 1.
    """

    def progress(count: int) -> None:
        if count % _PROGRESS == 0:
            click.echo(f"{count} looked at", err=True)

    attempts = context.settings.dispatch.max_attempts
    found = importing.import_tasks(context.ledger, path.expanduser(), max_attempts=attempts, progress=progress)
    if as_json:
        emit_json(
            {
                "imported": found.taken,
                "known": found.known,
                "skipped": found.skipped,
                "reasons": [asdict(one) for one in found.told],
                "notes": found.notes,
            }
        )
    else:
        _write(context, found)
    if found.skipped:
        click.get_current_context().exit(1)


def _write(context: CliContext, found: importing.Imported) -> None:
    taken = ", ".join(f"{count} {status}" for status, count in found.taken.items())
    click.echo(f"{sum(found.taken.values())} imported{f' ({taken})' if taken else ''}, {found.known} known before")
    for note, count in found.notes.items():
        click.echo(f"note: {count} {note}")
    if found.skipped:
        click.echo(f"{found.skipped} skipped:", err=True)
        rows = [(one.file, one.where, one.reason) for one in found.told]
        context.console.print(table(("file", "where", "why"), rows))
    if found.skipped > len(found.told):
        click.echo(f"… and {found.skipped - len(found.told)} more")
