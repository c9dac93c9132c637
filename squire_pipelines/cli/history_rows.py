"""How an answer of the warehouse is written: as a table, as lines, as JSON, as CSV. Asking for it is the caller's."""

import csv
import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from squire_pipelines.cli.context import CliContext, table
from squire_pipelines.cli.text import one_line, plain

if TYPE_CHECKING:
    from squire_pipelines.warehouse.query import QueryCursor

Rows = Iterable[Sequence[Sequence[Any]]]
"""Rows in batches, as `warehouse.query.QueryCursor` gives them."""

FORMS = ("table", "line", "json", "csv")


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


def write_answer(context: CliContext, answer: "QueryCursor", form: str, limit: int | None) -> tuple[int, bool]:
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
    rows = [[_cell(value) for value in row] for batch in batches for row in batch]
    context.console.print(table(columns, rows, keep=columns))
    return len(rows)


def _write_lines(columns: Sequence[str], batches: Rows) -> int:
    """Write each value on a line of its own, for rows that are too wide for a table."""
    width = max((len(column) for column in columns), default=0)
    count = 0
    for batch in batches:
        for row in batch:
            if count:
                click.echo()
            for column, value in zip(columns, row, strict=True):
                text = "" if value is None else plain(str(_cell(value)))
                click.echo(f"{one_line(column):>{width}}: {text}".rstrip())
            count += 1
    return count


def _write_json(columns: Sequence[str], batches: Rows) -> int:
    """Write a list of objects, row by row, in ASCII only like all JSON of the command."""
    count = 0
    for batch in batches:
        for row in batch:
            click.echo(",\n  " if count else "[\n  ", nl=False)
            click.echo(json.dumps({name: _json_value(v) for name, v in zip(columns, row, strict=True)}), nl=False)
            count += 1
    click.echo("\n]" if count else "[]")
    return count


def _write_csv(columns: Sequence[str], batches: Rows) -> int:
    """Write CSV according to RFC 4180 but for the line ends, with NULL as an empty field."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for batch in batches:
        writer.writerows([_cell(value) for value in row] for row in batch)
        count += len(batch)
    return count
