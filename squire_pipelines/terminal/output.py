"""Lines, JSON and CSV on standard output and standard error, and questions to the person at the terminal."""

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from squire_pipelines.domain.terminal_text import one_line, plain

# What a spreadsheet takes for a formula at the beginning of a cell, and the mark that tells it that a cell is text.
_FORMULA = re.compile(r"[=+\-@\t\n\uff1d\uff0b\uff0d\uff20']")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
MAX_HANGING = 2000
"""Characters of a text that goes on in several lines."""
_LEAST_HANGING = 20
_DELETE = "\x7f"


def write_line(text: object = "", *, err: bool = False, end: str = "\n") -> None:
    """Write text that is cleaned as `plain` does, and `end`, to standard output or with `err` to standard error."""
    click.echo(plain(str(text)) + end, err=err, nl=False)


def write_hanging(head: str, text: str, *, indent: int) -> None:
    """Write `head` and a text on one line; in a terminal, what does not fit goes on below, `indent` characters in.

    Args:
        head: `indent` characters that may be coloured.
        text: Cleaned as `one_line` does.
        indent: Characters.
    """
    line = one_line(text, limit=MAX_HANGING)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    if width - indent < _LEAST_HANGING:
        click.echo(head + line)
        return
    first, *others = textwrap.wrap(line, width - indent, break_on_hyphens=False) or [""]
    click.echo(head + first)
    for other in others:
        click.echo(" " * indent + other)


def write_prefixed(prefix: str, text: str, *, color: str) -> None:
    """Write the lines of a text whole, each with a prefix, which has a color on a terminal alone."""
    head = plain(prefix) if os.environ.get("NO_COLOR") else click.style(plain(prefix), fg=color)
    for line in plain(text).splitlines():
        click.echo(f"{head} {line}")


def write_exactly(text: str) -> None:
    """Write a person's own text as it is to standard output, and a line's end: nothing is cleaned out of it."""
    click.echo(text)


def write_labelled(label: str, text: str, *, color: str) -> None:
    """Write one line on standard error that begins with a word in a color."""
    head = f"{label}:" if os.environ.get("NO_COLOR") else click.style(f"{label}:", fg=color, bold=True)
    click.echo(f"{head} {one_line(text, limit=2000)}", err=True)


def json_text(
    value: Any,
    *,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """Return `value` as JSON in which each control character and each character outside of ASCII is escaped."""
    text = json.dumps(value, indent=indent, default=default, separators=separators)
    return text.replace(_DELETE, "\\u007f")  # the one control character that JSON does not ask to escape


def write_json(value: Any, *, default: Callable[[Any], Any] | None = None) -> None:
    """Write `value` as JSON on several lines."""
    write_line(json_text(value, indent=2, default=default))


def csv_cell(value: Any) -> Any:
    """Return a cell of CSV: text is cleaned, and a spreadsheet does not take it for a formula.

    Text that begins like a formula, and text that begins with `'`, gets a `'` in front: who takes one leading `'` from
    each cell has the text back. Numbers stay as they are, also those that were text.
    """
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def write_csv(columns: Sequence[str], batches: Iterable[Sequence[Sequence[Any]]]) -> int:
    """Write CSV according to RFC 4180 but for the line ends, with NULL as an empty field; return how many rows."""
    import csv  # noqa: PLC0415 - one command needs it

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
    count = 0
    for batch in batches:
        writer.writerows(map(csv_cell, row) for row in batch)
        count += len(batch)
    return count


def confirm(question: str) -> None:
    """Ask a question that is answered with yes or no. Raises click.Abort at a no."""
    click.confirm(one_line(question, limit=2000), abort=True)


def ask(name: str, *, default: str | None = None, is_secret: bool = False) -> str:
    """Ask for a text; a secret is not shown while it is typed. Raises click.Abort."""
    answer: str = click.prompt(one_line(name), default=default, show_default=False, hide_input=is_secret)
    return answer
