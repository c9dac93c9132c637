"""`squire tasks import`: the old product's tasks, or an export, into the ledger."""

from pathlib import Path

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, table_of, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.errors import ExitCode
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
@with_context
def import_tasks(context: CliContext, path: Path, *, as_json: bool) -> None:
    """Import tasks of the old product, or of an export.

    PATH is a folder of task files, one such file, Steward's state file, or a file that `squire tasks export` wrote. It
    is only read, and may be imported again: tasks that are known are skipped. Pending tasks become proposed, so that a
    person decides. When a task cannot be imported, the others are, and the exit code is 1.
    """

    def progress(count: int) -> None:
        if count % _PROGRESS == 0:
            click.echo(f"{count} read", err=True)

    attempts = context.settings.dispatch.max_attempts
    report = importing.import_tasks(context.ledger, path.expanduser(), max_attempts=attempts, progress=progress)
    if as_json:
        counts = {"imported": report.taken, "known": report.known, "skipped": report.skipped}
        emit_json({**counts, "reasons": report.told, "notes": report.notes})
    else:
        _write(context, report)
    if report.skipped:
        raise SystemExit(ExitCode.FAILED)


def _write(context: CliContext, report: importing.Imported) -> None:
    states = ", ".join(f"{count} {status}" for status, count in report.taken.items())
    click.echo(f"{sum(report.taken.values())} imported{f' ({states})' if states else ''}, {report.known} known before")
    for note, count in report.notes.items():
        click.echo(f"note: {count} {note}")
    if report.skipped:
        click.echo(f"{report.skipped} skipped:", err=True)
        context.console.print(table_of(report.told, {"file": "file", "where": "where", "why": "reason"}))
    if report.skipped > len(report.told):
        click.echo(f"… and {report.skipped - len(report.told)} more")
