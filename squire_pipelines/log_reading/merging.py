"""All lines of many logs in the order of time: logs are opened when their time comes, so that few are open at once."""

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from squire_pipelines.domain.log_lines import ECHO, LogLine, LogQuery, parse_line
from squire_pipelines.log_reading.reading import LogEntry, read_entries
from squire_pipelines.log_reading.sources import LogSource
from squire_pipelines.observability.log_files import FileKey

_TO_THE_END: Mapping[FileKey, int] = MappingProxyType({})
_SAME_TIME_S = 1.0
_MAX_REMEMBERED = 10_000
_MAX_RUNS = 1000


def merged_lines(
    sources: Iterable[LogSource], query: LogQuery, ends: Mapping[FileKey, int] = _TO_THE_END
) -> Iterator[LogLine]:
    """Yield the lines that answer a query, in the order of their times.

    Each file is read to its end, or to the byte that `ends` has for it.

    What Dagster writes into a run's own log and, as its mirror, into that of the process comes once.
    """
    repeats = Repeats()
    for entry in _merged(sources, query, ends):
        if entry.raw.startswith(ECHO):
            continue  # the attempt's own log has it
        line = parse_line(entry.raw, entry.own_at, entry.source.origin)
        if query.answers(line) and not repeats.is_repeated(entry):
            yield line


def runs_of_traces(sources: Iterable[LogSource], query: LogQuery) -> frozenset[str]:
    """Return the runs of Dagster that belong to the query's traces, as the first lines of their ops say."""
    firsts = replace(query, ids=frozenset(), components=frozenset({"pipeline"}), least_level="", repository="")
    runs: set[str] = set()
    for line in merged_lines(sources, firsts):
        if (run_id := line.values.get("run_id")) is not None and len(runs) < _MAX_RUNS:
            runs.add(str(run_id))
    return frozenset(runs)


def _merged(sources: Iterable[LogSource], query: LogQuery, ends: Mapping[FileKey, int]) -> Iterator[LogEntry]:
    """Yield entries by their times. A log's first entry is read to know when its time comes, and it is closed again."""
    names, needle = query.names, query.needle()

    def open_log(source: LogSource) -> Iterator[LogEntry]:
        origin = source.origin
        is_named = origin.run_id in names or not names.isdisjoint(origin.context.values())
        return _with_needle(source, query.since, ends.get(source.key), None if is_named else needle)

    firsts: list[tuple[float, int, LogSource]] = []
    for number, source in enumerate(sources):
        entries = open_log(source)
        first = next((entry for entry in entries if entry.at >= query.since), None)
        entries.close()  # type: ignore[attr-defined]  # a generator
        if first is not None and (query.until is None or first.at < query.until):
            firsts.append((first.at, number, source))
    firsts.sort(reverse=True)
    heap: list[tuple[float, int, LogEntry, Iterator[LogEntry]]] = []
    while firsts or heap:
        while firsts and (not heap or firsts[-1][0] <= heap[0][0]):
            _, number, source = firsts.pop()
            _push(heap, number, open_log(source))
        if not heap:
            continue
        at, number, entry, entries = heapq.heappop(heap)
        if query.until is not None and at >= query.until:
            continue  # nothing of this log is asked for any more
        if at >= query.since:
            yield entry
        _push(heap, number, entries)


def _with_needle(
    source: LogSource, since: float, end: int | None, needle: re.Pattern[bytes] | None
) -> Iterator[LogEntry]:
    for entry in read_entries(source, since=since, end=end, needle=needle):
        if needle is None or needle.search(entry.raw) is not None:
            yield entry


def _push(
    heap: list[tuple[float, int, LogEntry, Iterator[LogEntry]]], number: int, entries: Iterator[LogEntry]
) -> None:
    entry = next(entries, None)
    if entry is not None:
        heapq.heappush(heap, (entry.at, number, entry, entries))


class Repeats:
    """Knows which lines of the last moments came from another file already."""

    def __init__(self) -> None:
        self._at = 0.0
        self._sources: dict[bytes, LogSource] = {}

    def is_repeated(self, entry: LogEntry) -> bool:
        """Return whether another file had this line at this time; one without a time may be any file's."""
        if entry.source.times is not None:
            return False
        if entry.at - self._at > _SAME_TIME_S or len(self._sources) > _MAX_REMEMBERED:
            self._at = entry.at
            self._sources = {}
        first = self._sources.setdefault(entry.raw.strip(), entry.source)
        return first.key != entry.source.key
