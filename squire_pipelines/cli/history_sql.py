"""`squire history sql`: one question to the warehouse, and its answer in the form that was asked for."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from squire_pipelines.cli import history_rows
from squire_pipelines.cli.context import CliContext, json_option, pass_cli_context
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import command

if TYPE_CHECKING:
    from squire_pipelines.warehouse.query import Answer

MAX_QUERY = 100_000
LIMIT = 200
"""Rows of a table and of JSON when nothing else is said; CSV and Parquet have all."""

timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="The query is stopped after so long.",
)


def _query_text(query: str | None, file: Path | None) -> str:
    if (query is None) == (file is None):
        raise click.UsageError("give a query, - for standard input, or --file")
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


class _Counted:
    """The first `limit` rows of an answer, all without a limit; knows in the end whether there were more."""

    def __init__(self, answer: "Answer", limit: int | None) -> None:
        self._answer = answer
        self._limit = limit
        self.more = False

    def __iter__(self) -> Iterator[Sequence[Sequence[Any]]]:
        yield from self._answer.batches(self._limit)
        self.more = self._limit is not None and bool(self._answer.fetch(1))


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
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Read the query there.")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV.")
@click.option(
    "--parquet",
    "parquet",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the answer to this Parquet file.",
)
@timeout_option
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help=f"At most this many rows; {LIMIT} by default, all for CSV and Parquet.",
)
@json_option
@pass_cli_context
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
    """Ask the warehouse. QUERY is DuckDB's SQL; - reads it from standard input.

    The file is opened read-only, and a query can neither read nor write other files: what --parquet writes, we write.
    """
    from squire_pipelines.warehouse.query import Session  # noqa: PLC0415 - DuckDB, which `history path` does not need

    if as_csv + as_json + (parquet is not None) > 1:
        raise click.UsageError("--csv, --json and --parquet exclude each other")
    text = _query_text(query, file)
    most = limit if limit is not None or as_csv or parquet else LIMIT
    with Session(context.home.warehouse) as session:
        answer = session.ask(text, timeout_s=timeout)
        columns = history_rows.unique_names(answer.columns)
        if parquet:
            from squire_pipelines.warehouse.parquet import write_parquet  # noqa: PLC0415 - only here

            count = write_parquet(answer, tuple(columns), parquet, limit=most)
            click.echo(f"wrote {count} rows to {parquet}")
            return
        rows = _Counted(answer, most)
        if as_json:
            history_rows.print_json(columns, rows)
        elif as_csv:
            history_rows.print_csv(columns, rows)
        else:
            history_rows.print_table(context, columns, rows)
    if rows.more:
        note(f"there are more rows than {most}; add --limit N")
