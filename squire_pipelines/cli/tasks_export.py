"""`squire tasks export`: tasks with all their facts as lines of JSON."""

import io
import json
import sys
from pathlib import Path
from typing import IO

import click

from squire_pipelines.cli.context import CliContext, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.task_filters import filter_options
from squire_pipelines.cli.text import counted
from squire_pipelines.errors import ConfigError
from squire_pipelines.files import open_atomically
from squire_pipelines.ledger.exporting import export_tasks
from squire_pipelines.ledger.task_query import TaskQuery

_PROGRESS = 10_000


@command(
    "export",
    examples=(
        "squire tasks export tasks.jsonl",
        "squire tasks export --repository owner/name | jq .task.title",
    ),
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
        _write(context, query, sys.stdout)
        return
    try:
        with open_atomically(file) as binary, io.TextIOWrapper(binary, encoding="ascii") as stream:
            count = _write(context, query, stream)
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written: {error.strerror}",
            hint="check that the folder exists and has room",
        ) from error
    click.echo(f"wrote {counted(count, 'task')} to {file}", err=True)


def _write(context: CliContext, query: TaskQuery, stream: IO[str]) -> int:
    count = 0
    with context.ledger.read() as tx:
        for line in export_tasks(tx, query):
            stream.write(json.dumps(line, separators=(",", ":")) + "\n")
            count += 1
            if count % _PROGRESS == 0:
                click.echo(f"{count} written", err=True)
    return count
