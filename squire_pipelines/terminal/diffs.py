"""Patches on standard output: byte by byte in a pipe, so that `git apply` takes them; cleaned on a terminal."""

import os
import sys
from collections.abc import Iterator
from itertools import islice

import click

from squire_pipelines.domain.terminal_text import plain

MAX_TERMINAL_LINES = 400
_COLORS = {"+": "green", "-": "red", "@": "cyan"}


def write_patch(patch: bytes) -> bool:
    """Write a patch to standard output, where that is a terminal only its first lines; return whether it was cut."""
    if not sys.stdout.isatty():
        click.echo(patch, nl=False)
        return False
    lines = terminal_lines(patch, colored=not os.environ.get("NO_COLOR"))
    for line in islice(lines, MAX_TERMINAL_LINES):
        click.echo(line, nl=False)
    return next(lines, None) is not None


def terminal_lines(patch: bytes, *, colored: bool) -> Iterator[str]:
    """Yield the lines of a patch with their ends, without what a terminal acts upon but tabs and a CR at a line's end.

    A line is not folded: the terminal does that, and what is copied from it stays one line.
    """
    for raw in patch.decode("utf-8", "replace").split("\n")[:-1]:
        end = "\r\n" if raw.endswith("\r") else "\n"
        line = plain(raw.removesuffix("\r"))
        is_heading = line.startswith(("diff --git ", "--- ", "+++ "))
        color = _COLORS.get(line[:1])
        if colored and (is_heading or color):
            line = click.style(line, fg=None if is_heading else color, bold=is_heading or None)
        yield line + end
