"""`squire history export`: the warehouse's tables as Parquet, for other engines. The library writes them."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, pass_cli_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.text import size

_AGO = re.compile(r"(\d{1,5})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}


class MomentType(click.ParamType[datetime]):
    """A day as `2026-03-01`, or so long ago as `12h`, `30d` or `8w`."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment, aware and in UTC."""
        if isinstance(value, datetime):
            return value
        if match := _AGO.fullmatch(value):
            return datetime.now(UTC) - timedelta(hours=int(match[1]) * _HOURS[match[2]])
        try:
            return datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC)
        except ValueError:
            self.fail(f"{value!r} is neither a day as 2026-03-01 nor a time ago as 12h, 30d or 8w", param, ctx)


MOMENT = MomentType()


@command(
    "export",
    examples=(
        "squire history export ~/lake",
        "squire history export s3://bucket/squire --since 7d",
        "squire history export ~/lake --tables tasks,attempts --since 2026-01-01 --until 2026-03-31",
    ),
)
@click.argument("target")
@click.option("--since", type=MOMENT, metavar="DAY", help="The first day, as 2026-03-01, or so long ago, as 30d.")
@click.option("--until", type=MOMENT, metavar="DAY", help="The last day.")
@click.option("--tables", metavar="NAMES", help="Only these tables, with commas between them.")
@json_option
@pass_cli_context
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
    from squire_pipelines.warehouse.export import ExportedFile  # noqa: PLC0415 - DuckDB
    from squire_pipelines.warehouse.export import export as export_tables  # noqa: PLC0415 - likewise

    def told(file: ExportedFile) -> None:
        click.echo(f"{file.name}  {file.rows} rows, {size(file.bytes)}", err=True)

    done = export_tables(
        context.home.warehouse,
        target,
        tables=None if tables is None else [name.strip() for name in tables.split(",") if name.strip()],
        since=since.date() if since else None,
        until=until.date() if until else None,
        on_file=None if as_json else told,
    )
    if as_json:
        files = [
            {"name": each.name, "table": each.table, "day": str(each.day), "rows": each.rows, "bytes": each.bytes}
            for each in done.files
        ]
        emit_json({"target": target, "published_at": done.published_at, "files": files})
    else:
        rows = sum(each.rows for each in done.files)
        click.echo(f"wrote {len(done.files)} files with {rows} rows, as of {done.published_at:%Y-%m-%d %H:%M:%S} UTC")
