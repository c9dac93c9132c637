"""What is added to the logs of a home: each look yields the new lines, also of files that are new or were renamed."""

from collections.abc import Iterable

from squire_pipelines.domain.log_lines import ECHO, LogLine, LogQuery, parse_line
from squire_pipelines.home import Home
from squire_pipelines.log_reading.merging import Repeats
from squire_pipelines.log_reading.reading import LogEntry, end_of_lines, read_entries
from squire_pipelines.log_reading.sources import LogSource, find_sources
from squire_pipelines.observability.log_files import FileKey

_ALL_EVERY = 10
"""Runs and attempts have thousands of folders, which not every look lists."""

_RECENT_S = 600.0


class LogTail:
    """Knows up to which byte each log has been read.

    Args:
        home: The home.
        now: The time of the first look, in seconds since 1970; files that are older are not read.
    """

    def __init__(self, home: Home, now: float) -> None:
        self._home = home
        self._since = now
        self._positions: dict[FileKey, int] = {}
        self._repeats = Repeats()
        self._looks = 0

    def begin(self, sources: Iterable[LogSource]) -> dict[FileKey, int]:
        """Begin at the ends of all logs as they are now, and return those of these."""
        ends = {source.key: end_of_lines(source) for source in sources}
        # Also of those that nobody has written for long: what they have is not new when somebody does.
        self._positions = {source.key: source.size for source in find_sources(self._home, since=0.0)} | ends
        return ends

    def look(self, query: LogQuery, now: float) -> list[LogLine]:
        """Return the lines that were added since the last look and that answer, in the order of their times."""
        is_full = self._looks % _ALL_EVERY == 0
        self._looks += 1
        entries: list[LogEntry] = []
        for source in find_sources(self._home, since=max(self._since, now - _RECENT_S), processes_alone=not is_full):
            start = self._positions.get(source.key, 0)
            if source.size < start:
                start = 0  # somebody has emptied it
            end = end_of_lines(source, start) if source.size > start else start
            if end > start:
                entries += read_entries(source, since=0.0, start=start, end=end)
            self._positions[source.key] = end
        entries.sort(key=lambda entry: entry.at)
        ours = (entry for entry in entries if not entry.raw.startswith(ECHO))
        lines = ((entry, parse_line(entry.raw, entry.own_at, entry.source.origin)) for entry in ours)
        return [line for entry, line in lines if query.answers(line) and not self._repeats.is_repeated(entry)]
