"""The lines of a home's logs as `squire dev` shows them: each with the process that wrote it in front."""

import time
from collections.abc import Callable
from itertools import cycle

from squire_pipelines.cli.log_text import LineText
from squire_pipelines.domain.log_lines import LogLine, LogQuery
from squire_pipelines.home import Home
from squire_pipelines.log_reading.following import LogTail
from squire_pipelines.log_reading.sources import find_sources
from squire_pipelines.terminal.output import write_line, write_prefixed

MAX_LINES = 1000
"""Of one look; a line counts those beyond it, which `squire logs` shows."""
_COLORS = ("cyan", "green", "magenta", "blue", "yellow", "bright_cyan", "bright_green", "bright_magenta")
_WIDTH = 11
_ID = 8


def writer_of(source: str) -> str:
    """Return who wrote a log, by its file in the home: a process, a run of Dagster's, or an attempt."""
    folders, file = source.split("/")[:-1], source.rsplit("/", 1)[-1]
    if folders[-1:] == ["compute_logs"] and "storage" in folders[:-2]:
        return f"run {folders[-2][:_ID]}"
    if "attempts" in folders[:-1]:
        return folders[folders.index("attempts") + 1]
    name, dot, _ = file.partition(".log")
    return name if dot and name else source


class DevLog:
    """Shows what is added to the logs.

    Args:
        home: The home.
        clock: The time on the wall, in seconds since 1970.
    """

    def __init__(self, home: Home, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._since = clock()
        self._tail = LogTail(home, self._since)
        self._tail.begin(find_sources(home, since=0.0))
        self._text = LineText()
        self._colors: dict[str, str] = {}
        self._palette = cycle(_COLORS)

    def look(self) -> None:
        """Show what was added since the last look."""
        lines = self._tail.look(LogQuery(since=self._since), self._clock())
        for line in lines[:MAX_LINES]:
            self._show(line)
        if len(lines) > MAX_LINES:
            write_line(f"{len(lines) - MAX_LINES} more lines were written in this moment: `squire logs` shows them")

    def _show(self, line: LogLine) -> None:
        writer = writer_of(line.source)
        if writer not in self._colors and len(self._colors) < MAX_LINES:
            self._colors[writer] = next(self._palette)
        write_prefixed(f"{writer:<{_WIDTH}} |", self._text.text(line), color=self._colors.get(writer, _COLORS[0]))
