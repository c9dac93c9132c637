"""`squire history report`: how things went, as a short text, as JSON, or as a page. The numbers are the library's."""

from datetime import datetime
from pathlib import Path

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, table, with_context
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import MOMENT

_ROWS = 9
"""How many rows of each table are shown in the terminal; the page has them all."""

_COLUMNS = {"causes": 4}
"""How many columns of a section's table a terminal has room for."""


@command(
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
@json_option
@with_context
def report(context: CliContext, *, html: Path | None, since: datetime, open_it: bool, as_json: bool) -> None:
    """Report throughput, success, causes of failure, cost, time in each stage and time with failing checks.

    The report covers the time from --since until the warehouse was published. The page that --html writes is one file
    that loads nothing from elsewhere.
    """
    from squire_pipelines.warehouse.report.numbers import read_report  # noqa: PLC0415 - DuckDB

    if open_it and html is None:
        raise click.UsageError("--open shows the page that --html FILE writes: add --html FILE")
    if html is not None and as_json:
        raise click.UsageError("--html and --json exclude each other: use one of them")
    numbers = read_report(context.home.warehouse, since=since)
    if as_json:
        emit_json(numbers.as_json())
        return
    if html is not None:
        from squire_pipelines.warehouse.report.page import html as page  # noqa: PLC0415 - the drawing library
        from squire_pipelines.warehouse.report.page import write_page  # noqa: PLC0415 - likewise

        write_page(html, page(numbers, cache=context.home.cache / "matplotlib"))
        click.echo(f"wrote {html}")
        if open_it and click.launch(str(html.absolute())):
            note(f"no browser could be started; open {html.absolute()}")
        return
    from squire_pipelines.warehouse.report.sections import headline, sections  # noqa: PLC0415 - not for a page

    click.echo(f"{numbers.since:%Y-%m-%d %H:%M} to {numbers.until:%Y-%m-%d %H:%M} UTC")
    click.echo()
    context.console.print(table(["", "", " "], headline(numbers)))
    for section in sections(numbers):
        click.echo(f"\n{section.title}")
        if not section.rows:
            click.echo(f"  {section.nothing}")
            continue
        click.echo(f"  {section.text}")
        most = _COLUMNS.get(section.key, len(section.header))
        context.console.print(table(section.header[:most], [row[:most] for row in section.rows[:_ROWS]]))
        if len(section.rows) > _ROWS:
            click.echo(f"  and {len(section.rows) - _ROWS} more: --json has them all")
