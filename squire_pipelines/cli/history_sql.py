"""`squire history sql`: one question to the warehouse, and its answer as a table, as lines, as JSON or as CSV."""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from squire_pipelines.cli.context import CliContext, json_option, seconds_option, with_context
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.freshness import note_what_is_missing
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import tenant_option
from squire_pipelines.cli.text import counted
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.terminal.output import json_text, write_csv, write_line

if TYPE_CHECKING:
    from squire_pipelines.warehouse.answers import Answer
    from squire_pipelines.warehouse.query_process import QueryProcess

MAX_QUERY = 100_000
LIMIT = 200
"""How many rows a table and JSON have unless `--limit` says otherwise; CSV and Parquet have all."""

Rows = Iterable[Sequence[Sequence[Any]]]
"""Rows in batches, as `warehouse.answers.Answer` gives them."""

FORMS = ("table", "line", "json", "csv")

timeout_option = seconds_option("--timeout", 30, "Stop the query after this time.", least=0.1, most=3600)


def unique_names(columns: Sequence[str]) -> list[str]:
    """Return `columns` with `_2`, `_3` on those that a query named twice, so that no value of a row is lost."""
    names: list[str] = []
    taken: set[str] = set()
    for column in columns:
        base = column or "column"
        name, number = base, 1
        while name.lower() in taken:
            number += 1
            name = f"{base}_{number}"
        names.append(name)
        taken.add(name.lower())
    return names


def _json_value(value: Any) -> Any:
    """Return `value` as JSON can have it: numbers, lists and structures stay what they are, all else is text."""
    from decimal import Decimal  # noqa: PLC0415 - loaded with DuckDB

    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {str(key): _json_value(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(member) for member in value]
    return str(value)


def _cell(value: Any) -> Any:
    value = _json_value(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _table_value(value: Any) -> Any:
    return value if isinstance(value, datetime) else _json_value(value)


def write_answer(context: CliContext, answer: "Answer", form: str, limit: int | None) -> tuple[int, bool]:
    """Write the first `limit` rows of `answer`, or all, as one of `FORMS`.

    Returns how many rows were written and whether there are more.
    """
    columns, batches = unique_names(answer.columns), answer.batches(limit)
    if form == "table":
        count = write_table(context, columns, batches)
    else:
        count = {"line": _write_lines, "json": _write_json, "csv": _write_csv}[form](columns, batches)
    return count, limit is not None and count >= limit and bool(answer.fetch(1))


def write_table(context: CliContext, columns: Sequence[str], batches: Rows) -> int:
    """Write a table for people and return the number of rows."""
    rows = [[_table_value(value) for value in row] for batch in batches for row in batch]
    context.write_table(columns, rows, keep=columns)
    return len(rows)


def _write_lines(columns: Sequence[str], batches: Rows) -> int:
    """Write each value on a line of its own, for rows that are too wide for a table."""
    width = max((len(column) for column in columns), default=0)
    count = 0
    for batch in batches:
        for row in batch:
            if count:
                write_line()
            for column, value in zip(columns, row, strict=True):
                text = "" if value is None else str(_cell(value))
                write_line(f"{one_line(column):>{width}}: {text}".rstrip())
            count += 1
    return count


def _write_json(columns: Sequence[str], batches: Rows) -> int:
    """Write a list of objects, row by row, in ASCII only like all JSON of the command."""
    count = 0
    for batch in batches:
        for row in batch:
            write_line(",\n  " if count else "[\n  ", end="")
            write_line(json_text({name: _json_value(v) for name, v in zip(columns, row, strict=True)}), end="")
            count += 1
    write_line("\n]" if count else "[]")
    return count


def _write_csv(columns: Sequence[str], batches: Rows) -> int:
    return write_csv(columns, ([[_cell(value) for value in row] for row in batch] for batch in batches))


def read_publication(session: "QueryProcess") -> datetime | None:
    """Return when the file that `session` has open was published, None when it does not say."""
    rows = session.execute("SELECT published_at FROM _publication").fetch(1)
    return rows[0][0] if rows else None


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
@tenant_option
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
    tenant: str | None,
    limit: int | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Ask the warehouse one question. QUERY is SQL for DuckDB; - reads it from standard input.

    The file is opened read-only, and a query can neither read nor write other files: Squire itself writes the file of
    --parquet.
    """
    from squire_pipelines.warehouse.query_process import QueryProcess  # noqa: PLC0415 - not for --help

    if as_csv + as_json + (parquet is not None) > 1:
        raise click.UsageError("--csv, --json and --parquet exclude each other: use one of them")
    text = _query_text(query, file)
    most = limit if limit is not None or as_csv or parquet else LIMIT
    with QueryProcess(context.warehouse_of(tenant)) as session:
        answer = session.execute(text, timeout_s=timeout)
        if parquet:
            from squire_pipelines.warehouse.parquet import write_parquet  # noqa: PLC0415 - only here

            count = write_parquet(answer, tuple(unique_names(answer.columns)), parquet, limit=most)
            write_line(f"wrote {counted(count, 'row')} to {parquet}")
            has_more = False
        else:
            form = "json" if as_json else "csv" if as_csv else "table"
            count, has_more = write_answer(context, answer, form, most)
        published_at = read_publication(session)
    if has_more:
        note(f"there are more rows than these {count}; add --limit N to see more")
    if published_at is not None:
        note_what_is_missing(context, published_at)
