"""How an answer of the warehouse is written: as a table, as lines, as JSON, as CSV.

Where it comes from is the caller's.
"""

import csv
import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from squire_pipelines.cli.context import CliContext, table
from squire_pipelines.cli.text import one_line, plain

Rows = Iterable[Sequence[Sequence[Any]]]
"""Rows in batches, as `warehouse.query.Answer` gives them."""


def unique_names(columns: Sequence[str]) -> list[str]:
    """`columns` with `_2`, `_3` on those that a query named twice, so that no value of a row is lost."""
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


def value_of(value: Any) -> Any:
    """`value` as JSON can have it: numbers stay numbers, lists and structures what they are, all else is text."""
    from decimal import Decimal  # noqa: PLC0415 - loaded with DuckDB

    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {str(key): value_of(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [value_of(each) for each in value]
    return str(value)


def _cell(value: Any) -> Any:
    value = value_of(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def print_table(context: CliContext, columns: Sequence[str], batches: Rows) -> int:
    """A table for people; returns the number of rows."""
    rows = [[_cell(value) for value in row] for batch in batches for row in batch]
    context.console.print(table(columns, rows, keep=columns))
    return len(rows)


def print_lines(columns: Sequence[str], batches: Rows) -> int:
    """Each value on a line of its own, for rows that are too wide for a table; returns the number of rows."""
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


def print_json(columns: Sequence[str], batches: Rows) -> int:
    """A list of objects, written row by row; returns their number. ASCII only, as all JSON of the command."""
    count = 0
    for batch in batches:
        for row in batch:
            click.echo(",\n  " if count else "[\n  ", nl=False)
            click.echo(json.dumps({name: value_of(v) for name, v in zip(columns, row, strict=True)}), nl=False)
            count += 1
    click.echo("\n]" if count else "[]")
    return count


def print_csv(columns: Sequence[str], batches: Rows) -> int:
    """CSV as RFC 4180 has it, but for the line ends; returns the number of rows. NULL is an empty field."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for batch in batches:
        writer.writerows([_cell(value) for value in row] for row in batch)
        count += len(batch)
    return count
