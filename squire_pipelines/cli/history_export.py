"""`squire history export`: the warehouse's tables as Parquet, for other engines. The library writes them."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import MOMENT
from squire_pipelines.cli.text import counted, instant, size

if TYPE_CHECKING:
    from squire_pipelines.warehouse.export import ExportedFile


def _show_file(file: "ExportedFile") -> None:
    click.echo(f"{file.name}  {counted(file.rows, 'row')}, {size(file.bytes)}", err=True)


@command(
    "export",
    examples=(
        "squire history export ~/lake",
        "squire history export s3://bucket/squire --since 7d",
        "squire history export ~/lake --tables tasks,attempts --since 2026-01-01 --until 2026-03-31",
    ),
)
@click.argument("target")
@click.option("--since", type=MOMENT, metavar="DAY", help="Begin with this day: 2026-03-01, or 30d for so long ago.")
@click.option("--until", type=MOMENT, metavar="DAY", help="End with this day.")
@click.option("--tables", metavar="NAMES", help="Write only these tables, with commas between them.")
@json_option
@with_context
def export(
    context: CliContext,
    *,
    target: str,
    since: datetime | None,
    until: datetime | None,
    tables: str | None,
    as_json: bool,
) -> None:
    """Write the tables as Parquet to a folder or an object store, one file per table and day.

    TARGET is a folder or a URL such as s3://bucket/prefix. A day's file holds the rows that began on that day, in UTC;
    exporting a day again replaces its file whole.
    """
    from squire_pipelines.warehouse import export as exporting  # noqa: PLC0415 - DuckDB

    done = exporting.export(
        context.home.warehouse,
        target,
        tables=None if tables is None else [name.strip() for name in tables.split(",") if name.strip()],
        since=since.date() if since else None,
        until=until.date() if until else None,
        on_file=None if as_json else _show_file,
    )
    if as_json:
        listed = [
            {"name": file.name, "table": file.table, "day": str(file.day), "rows": file.rows, "bytes": file.bytes}
            for file in done.files
        ]
        emit_json({"target": target, "published_at": done.published_at, "files": listed})
    else:
        files, rows = counted(len(done.files), "file"), counted(sum(file.rows for file in done.files), "row")
        click.echo(f"wrote {files} with {rows}, as of {instant(done.published_at)} UTC")
