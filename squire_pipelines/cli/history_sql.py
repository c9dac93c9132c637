"""`squire history sql`: one question to the warehouse, and its answer in the form that was asked for."""

import sys
from pathlib import Path

import click

from squire_pipelines.cli.context import CliContext, json_option, seconds_option, with_context
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.history_rows import unique_names, write_answer
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.text import counted

MAX_QUERY = 100_000
LIMIT = 200
"""How many rows a table and JSON have unless `--limit` says otherwise; CSV and Parquet have all."""

timeout_option = seconds_option("--timeout", 30, "Stop the query after this time.", least=0.1, most=3600)


def _query_text(query: str | None, file: Path | None) -> str:
    if (query is None) == (file is None):
        raise click.UsageError("give a query, - for standard input, or --file FILE")
    if file is not None:
        try:
            with file.open(encoding="utf-8") as opened:
                text = opened.read(MAX_QUERY + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise click.BadParameter(f"{file} cannot be read: {error}", param_hint="--file") from error
    else:
        text = sys.stdin.read(MAX_QUERY + 1) if query == "-" else query or ""
    if not text.strip() or len(text) > MAX_QUERY:
        raise click.BadParameter(f"the query is empty or has more than {MAX_QUERY} characters", param_hint="QUERY")
    return text


@command(
    "sql",
    examples=(
        'squire history sql "select status, count(*) from tasks group by all"',
        'squire history sql --csv "from tasks" > tasks.csv',
        'squire history sql --parquet attempts.parquet "from attempts"',
        "squire history sql --file question.sql",
    ),
)
@click.argument("query", required=False)
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Read the query from FILE."
)
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV.")
@click.option(
    "--parquet", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the answer to FILE."
)
@timeout_option
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help=f"Show at most this many rows; {LIMIT} by default, all for CSV and Parquet.",
)
@json_option
@with_context
def sql(
    context: CliContext,
    *,
    query: str | None,
    file: Path | None,
    parquet: Path | None,
    timeout: float,
    limit: int | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Ask the warehouse one question. QUERY is SQL for DuckDB; - reads it from standard input.

    The file is opened read-only, and a query can neither read nor write other files: Squire itself writes the file of
    --parquet.
    """
    from squire_pipelines.warehouse.query import QuerySession  # noqa: PLC0415 - DuckDB

    if as_csv + as_json + (parquet is not None) > 1:
        raise click.UsageError("--csv, --json and --parquet exclude each other: use one of them")
    text = _query_text(query, file)
    most = limit if limit is not None or as_csv or parquet else LIMIT
    with QuerySession(context.home.warehouse) as session:
        answer = session.execute(text, timeout_s=timeout)
        if parquet:
            from squire_pipelines.warehouse.parquet import write_parquet  # noqa: PLC0415 - only here

            count = write_parquet(answer, tuple(unique_names(answer.columns)), parquet, limit=most)
            click.echo(f"wrote {counted(count, 'row')} to {parquet}")
            return
        form = "json" if as_json else "csv" if as_csv else "table"
        count, has_more = write_answer(context, answer, form, most)
    if has_more:
        note(f"there are more rows than these {count}; add --limit N to see more")
