"""The console on which tables and colored text are written. Importing this imports rich."""

import errno
import os
import sys
from collections.abc import Iterable
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from squire_pipelines.domain.terminal_text import plain

PIPE_WIDTH = 100_000
"""Columns of what is not written to a terminal: no line is cut or folded, so that each can be searched and counted."""


class CleanConsole(Console):
    """A console that cleans every text, wherever in a table, a syntax or a live display it stands."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of `renderable`. Rich's own control codes and colors pass; text has none of its own."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Say that nobody reads, as any other write does: Rich would end the process as one that failed."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    @property
    def room(self) -> int | None:
        """The width in which a table has to fit; None where it is not written to a terminal."""
        return self.width if self.width < PIPE_WIDTH else None


def open_console(file: IO[str] | None = None) -> CleanConsole:
    """Return a console on `file`, by default standard output, to which markup is text like any other."""
    target = file or sys.stdout
    width = None if target.isatty() else PIPE_WIDTH
    return CleanConsole(file=target, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)
