"""`squire tasks export|import`: tasks with all their facts as lines of JSON, and the old product's tasks."""

import io
import json
import sys
from pathlib import Path
from typing import IO

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, table_of, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.task_filters import filter_options
from squire_pipelines.cli.text import counted
from squire_pipelines.errors import ConfigError, ExitCode
from squire_pipelines.files import open_atomically
from squire_pipelines.ledger import importing
from squire_pipelines.ledger.exporting import export_tasks
from squire_pipelines.ledger.task_query import TaskQuery

_PROGRESS = 10_000


@command(
    "export",
    examples=("squire tasks export tasks.jsonl", "squire tasks export --repository owner/name | jq .task.title"),
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@filter_options("status", "repository")
@with_context
def export(context: CliContext, file: Path | None, statuses: tuple[str, ...], repository: str | None) -> None:
    """Write tasks with all their facts as lines of JSON, oldest first, to FILE or standard output.

    Each line has a task with its attempts, events, outcome and model calls, all as of one moment; `squire tasks import`
    reads them back. FILE is written completely or not at all.
    """
    query = TaskQuery(statuses=statuses, repository=repository)
    if file is None or str(file) == "-":
        _export_lines(context, query, sys.stdout)
        return
    try:
        with open_atomically(file) as binary, io.TextIOWrapper(binary, encoding="ascii") as stream:
            count = _export_lines(context, query, stream)
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written: {error.strerror}", hint="check that the folder exists and has room"
        ) from error
    click.echo(f"wrote {counted(count, 'task')} to {file}", err=True)


def _export_lines(context: CliContext, query: TaskQuery, stream: IO[str]) -> int:
    count = 0
    with context.ledger.read() as tx:
        for line in export_tasks(tx, query):
            stream.write(json.dumps(line, separators=(",", ":")) + "\n")
            count += 1
            if count % _PROGRESS == 0:
                click.echo(f"{count} written", err=True)
    return count


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
        emit_json({**counts, "reasons": report.reasons, "notes": report.notes})
    else:
        _show_report(context, report)
    if report.skipped:
        raise SystemExit(ExitCode.FAILED)


def _show_report(context: CliContext, report: importing.ImportReport) -> None:
    states = ", ".join(f"{count} {status}" for status, count in report.taken.items())
    click.echo(f"{sum(report.taken.values())} imported{f' ({states})' if states else ''}, {report.known} known before")
    for note, count in report.notes.items():
        click.echo(f"note: {count} {note}")
    if report.skipped:
        click.echo(f"{report.skipped} skipped:", err=True)
        context.console.print(table_of(report.reasons, {"file": "file", "where": "where", "why": "reason"}))
    if report.skipped > len(report.reasons):
        click.echo(f"… and {report.skipped - len(report.reasons)} more")
