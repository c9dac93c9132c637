"""`squire history`: the warehouse, the DuckDB file that people query. The library builds, exports and summarises it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_context, with_home
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.freshness import has_more, note_what_is_missing
from squire_pipelines.cli.lazy import Lazy, LazyGroup
from squire_pipelines.cli.parameters import MOMENT, tenant_option
from squire_pipelines.cli.text import counted, instant, size
from squire_pipelines.terminal.live_line import live_line
from squire_pipelines.terminal.output import write_line

if TYPE_CHECKING:
    from squire_pipelines.warehouse.export import ExportedFile
    from squire_pipelines.warehouse.report.numbers import ReportNumbers

_ROWS = 9
"""How many rows of each table are shown in the terminal; the page has them all."""

_COLUMNS = {"causes": 4}
"""How many columns of a section's table a terminal has room for."""

_CLI = "squire_pipelines.cli"
history = LazyGroup(
    name="history",
    help="Query, report, export and publish the warehouse.",
    lazy={
        "sql": Lazy(f"{_CLI}.history_sql:sql", "Ask the warehouse one question."),
        "shell": Lazy(f"{_CLI}.history_shell:run_shell", "Ask the warehouse one question after another."),
    },
)


@history.command("path", examples=('duckdb -readonly "$(squire history path)"',))
@tenant_option
@with_context
def path(context: CliContext, tenant: str | None) -> None:
    """Print where the warehouse's file is, for other programs, which have to open it read-only.

    With --tenant it is the file that has this tenant's rows alone.
    """
    own = context.home.warehouse if tenant is None else context.home.warehouse_of(tenant)
    file = own if own.exists() else context.warehouse_of(tenant)
    write_line(file)
    if not file.exists():
        note("the warehouse has not been published yet: run `squire history publish`")


@history.command("publish", examples=("squire history publish", "squire history publish --full"))
@click.option("--full", is_flag=True, help="Read the whole ledger and the archive again, not only what changed.")
@with_home
def publish(context: CliContext, *, full: bool) -> None:
    """Write a new warehouse from the ledger and put it in the place of the old one."""
    from squire_pipelines.execution.repository_settings import repository_settings  # noqa: PLC0415 - SQLAlchemy
    from squire_pipelines.warehouse.sharing import publish_shared  # noqa: PLC0415 - DuckDB

    settings = context.settings
    limits_of = repository_settings(context.ledger, settings).of_all.budgets_for
    with live_line("publishing the warehouse"):
        done = publish_shared(context.ledger, settings, limits_of=limits_of, full=full)
    changed = f"{sum(done.changed.values())} of {sum(done.rows.values())} rows written"
    write_line(f"published {context.home.warehouse}: {changed}, {size(done.bytes)}, {done.seconds:.1f} s")
    if done.mode == "full" and not full:
        note(f"the whole ledger was read again: {done.reason}")


def _show_file(file: "ExportedFile") -> None:
    write_line(f"{file.name}  {counted(file.rows, 'row')}, {size(file.bytes)}", err=True)


@history.command(
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
@with_home
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
    from squire_pipelines.cli.audited import record_export  # noqa: PLC0415 - SQLAlchemy
    from squire_pipelines.warehouse import export as exporting  # noqa: PLC0415 - DuckDB

    record_export(context, "the warehouse", target, tables=tables)
    done = exporting.export(
        context.warehouse,
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
        more = has_more(context, done.published_at)
        emit_json({"target": target, "published_at": done.published_at, "changed_since": more, "files": listed})
    else:
        files, rows = counted(len(done.files), "file"), counted(sum(file.rows for file in done.files), "row")
        write_line(f"wrote {files} with {rows}, as of {instant(done.published_at)}")
        note_what_is_missing(context, done.published_at)


@history.command(
    "report",
    examples=(
        "squire history report",
        "squire history report --html report.html --since 90d --open",
        "squire history report --json",
    ),
)
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a page with plots."
)
@click.option(
    "--since", type=MOMENT, default="30d", show_default=True, metavar="DAY", help="Begin at this day, or so long ago."
)
@click.option("--open", "open_it", is_flag=True, help="Show the page in the browser.")
@tenant_option
@json_option
@with_home
def report(
    context: CliContext, *, html: Path | None, since: datetime, open_it: bool, tenant: str | None, as_json: bool
) -> None:
    """Report throughput, success, causes of failure, cost, time in each stage and time with failing checks.

    The report covers the time from --since until the warehouse was published. The page that --html writes is one file
    that loads nothing from elsewhere.
    """
    from squire_pipelines.warehouse.report.numbers import read_report  # noqa: PLC0415 - DuckDB

    if open_it and html is None:
        raise click.UsageError("--open shows the page that --html FILE writes: add --html FILE")
    if html is not None and as_json:
        raise click.UsageError("--html and --json exclude each other: use one of them")
    with live_line("reading the warehouse"):
        numbers = read_report(context.warehouse_of(tenant), since=since)
    if as_json:
        emit_json({**numbers.as_json(), "changed_since": has_more(context, numbers.until.replace(tzinfo=UTC))})
        return
    note_what_is_missing(context, numbers.until.replace(tzinfo=UTC))
    if html is not None:
        from squire_pipelines.warehouse.report.page import html as page  # noqa: PLC0415 - the drawing library
        from squire_pipelines.warehouse.report.page import write_page  # noqa: PLC0415 - likewise

        with live_line("drawing the report"):
            write_page(html, page(numbers, cache=context.home.cache / "matplotlib"))
        write_line(f"wrote {html}")
        if open_it and click.launch(str(html.absolute())):
            note(f"no browser could be started; open {html.absolute()}")
        return
    _show_report(context, numbers)


def _show_report(context: CliContext, numbers: "ReportNumbers") -> None:
    from squire_pipelines.warehouse.report.sections import headline, sections  # noqa: PLC0415 - DuckDB

    write_line(f"{numbers.since:%Y-%m-%d %H:%M} to {numbers.until:%Y-%m-%d %H:%M} UTC")
    write_line()
    context.write_table(["", "", " "], headline(numbers))
    for section in sections(numbers):
        write_line(f"\n{section.title}")
        if not section.rows:
            write_line(f"  {section.nothing}")
            continue
        write_line(f"  {section.text}")
        most = _COLUMNS.get(section.key, len(section.header))
        context.write_table(section.header[:most], [row[:most] for row in section.rows[:_ROWS]])
        if len(section.rows) > _ROWS:
            write_line(f"  and {len(section.rows) - _ROWS} more: --json has them all")
