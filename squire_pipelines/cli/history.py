"""`squire history`: the warehouse, the DuckDB file that people query. How it is built and guarded is the library's."""

import csv
import sys
from collections.abc import Sequence
from typing import Any

import click

from squire_pipelines.cli.context import App, emit_json, json_option, limit_option, pass_app, table
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import LazyGroup, command
from squire_pipelines.cli.text import size

MAX_QUERY = 100_000
history = LazyGroup(name="history", help="Query and publish the warehouse.")


def unique_names(columns: Sequence[str]) -> list[str]:
    """`columns` with `_2`, `_3` on those that a query named twice, so that no value of a row is lost."""
    names: list[str] = []
    for column in columns:
        name, number = column, 1
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names.append(name)
    return names


def _value(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _query_text(query: str) -> str:
    text = sys.stdin.read(MAX_QUERY + 1) if query == "-" else query
    if not text.strip() or len(text) > MAX_QUERY:
        message = f"the query is empty or has more than {MAX_QUERY} characters"
        raise click.BadParameter(message, param_hint="QUERY")
    return text


@command(
    "sql",
    examples=(
        'squire history sql "select status, count(*) from tasks group by all"',
        'squire history sql --csv "from tasks" > tasks.csv',
    ),
)
@click.argument("query")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="The query is stopped after so long.",
)
@limit_option(200, most=1_000_000)
@json_option
@pass_app
def sql(app: App, query: str, timeout: float, limit: int, *, as_csv: bool, as_json: bool) -> None:
    """Ask the warehouse. QUERY is DuckDB's SQL; - reads it from standard input.

    The file is opened read-only, and a query can neither read nor write other files.
    """
    from squire_pipelines.warehouse.query import run_query  # noqa: PLC0415 - DuckDB, which `history path` does not need

    if as_csv and as_json:
        message = "--csv and --json exclude each other"
        raise click.UsageError(message)
    result = run_query(app.home.warehouse, _query_text(query), limit=limit, timeout_s=timeout)
    columns = unique_names(result.columns)
    rows = [[_value(value) for value in row] for row in result.rows]
    if as_json:
        emit_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        app.console.print(table(columns, rows, keep=columns))
    if result.truncated:
        note(f"there are more rows than {limit}; add --limit N")


@command("path", examples=('duckdb -readonly "$(squire history path)"',))
@pass_app
def path(app: App) -> None:
    """Print where the warehouse's file is, for other programs. Open it read-only."""
    click.echo(app.home.warehouse)
    if not app.home.warehouse.exists():
        note("it has not been published yet: `squire history publish`")


@command("publish", examples=("squire history publish",))
@pass_app
def publish(app: App) -> None:
    """Build the warehouse from the ledger now and put it in the place of the old one."""
    from squire_pipelines.warehouse.publish import publish as publish_warehouse  # noqa: PLC0415 - DuckDB

    done = publish_warehouse(app.ledger, app.home.warehouse, memory_limit=app.settings.warehouse.memory_limit)
    click.echo(f"published {app.home.warehouse}: {sum(done.rows.values())} rows, {size(done.bytes)}")


history.add_command(sql)
history.add_command(path)
history.add_command(publish)
