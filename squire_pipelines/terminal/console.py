"""The console on which tables and colored text are written. Importing this imports rich."""

import sys
from collections.abc import Iterable
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from squire_pipelines.domain.terminal_text import plain

PIPE_WIDTH = 200
"""Columns of a table that is not written to a terminal, so that ids and links are not cut."""


class CleanConsole(Console):
    """A console that cleans every text, wherever in a table, a syntax or a live display it stands."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of `renderable`. Rich's own control codes and colors pass; text has none of its own."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)


def open_console(file: IO[str] | None = None) -> CleanConsole:
    """Return a console on `file`, by default standard output, to which markup is text like any other."""
    target = file or sys.stdout
    width = None if target.isatty() else PIPE_WIDTH
    return CleanConsole(file=target, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)
