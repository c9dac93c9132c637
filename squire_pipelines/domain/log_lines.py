"""A line of a log, whoever wrote it: our JSON and text, Dagster's, a record of a gateway, or any other text.

Pure: what the bytes of a line say, and whether a line answers a query. Nothing here can be made to fail by a line.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from squire_pipelines.domain.ecs_lines import VERSION_KEY, from_ecs
from squire_pipelines.domain.terminal_text import plain, without_sequences

LEVELS: Mapping[str, int] = MappingProxyType({"debug": 10, "info": 20, "warning": 30, "error": 40})
CONTEXT = ("trace_id", "task_id", "attempt_id", "delivery_id", "repository")
MAX_TEXT = 16_384
"""So many characters of a line's text are kept."""

TIMES_SUFFIX = ".times"
"""Ends the name of the file that says when which part of an agent's log was written."""

ECHO = b"agent> "
"""What lines of an agent begin with where they are shown beside ours, so that none can look like one of ours."""

LATEST_S = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""A line from then on has no time that can be shown, in seconds since 1970."""

_HIDDEN_KEYS = {"event", "level", "timestamp", "component", "logger", "machine", *CONTEXT}
_JSON_TIME = re.compile(rb'(?<!\\)"(?:@?timestamp|started_at)": ?"([^"\\]{10,40})"')
_TIME = re.compile(
    rb"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(?: ?(Z|[+-]\d\d:?\d\d))?",
)
_TEXT_START = re.compile(rb"(?:\x1b\[[0-9;]{0,10}m|\[){0,4}(?=\d{4}-\d\d-\d\d[T ])")
_LEVEL = re.compile(
    r"\[(debug|info|warning|error|critical)\s*\]|(?<= - )(DEBUG|INFO|WARNING|ERROR|CRITICAL)(?= - )"
    r"|^(DEBUG|INFO|WARNING|ERROR|CRITICAL):"
)
_RUN = re.compile(r" - ([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}) - ")
_DAGSTER = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} - (?P<logger>[\w.-]{1,80}) - [A-Z]{1,10} - "
    r"(?:(?P<job>\w{1,100}) - (?P<run>[0-9a-f-]{36}) - (?:\d{1,10} - )?)?"
)
_OF_TRACEBACKS = (b"Traceback (most recent call last):", b"The above exception was", b"During handling of")
_EXCEPTION = re.compile(
    rb"(?:[A-Za-z_]\w{0,80}\.){1,10}[A-Z]\w{0,80}: |[A-Z]\w{0,80}(?:Error|Exception|Exit|Failure): "
)
_DAGSTER_ERROR = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} - dagster - ERROR - ")
_RAISED_ON_PURPOSE = "dagster._core.definitions.events.Failure: "
_STACK = "\n\nStack Trace:\n"
_NAMED = re.compile(r"\b(component|trace_id|task_id|attempt_id|delivery_id|repository)=([^\s'\"]{1,200})")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line, with what of its context is known.

    Args:
        at: Seconds since 1970; of a line without a time, that of the line before it.
        text: What happened, without control sequences; a traceback has several lines.
        level: A name of `LEVELS`; empty where the line has none.
        component: Which part of Squire wrote it.
        source: The file, from the home.
        context: Its ids by the names of `CONTEXT`.
        run_id: The run of Dagster that it names.
        values: What else it says.
    """

    at: float
    text: str
    level: str = ""
    component: str = ""
    source: str = ""
    context: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LineOrigin:
    """What is known of all lines of a file.

    Args:
        component: Who wrote them.
        source: The file, from the home.
        context: Whose they are.
        run_id: The run that wrote them.
        is_strangers: Whether an agent wrote them: whatever its lines look like, they are text.
    """

    component: str
    source: str
    context: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""
    is_strangers: bool = False


@lru_cache(maxsize=4096)
def _seconds(day: bytes, time: bytes, offset: bytes) -> float:
    text = f"{day.decode()}T{time.decode()}{'+00:00' if offset in {b'', b'Z'} else offset.decode()}"
    try:
        seconds = datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return -1.0
    return seconds if seconds < LATEST_S else -1.0


def line_time(raw: bytes) -> float | None:
    """Return the time that a line begins with or, as an object of JSON, has; None for a line without one."""
    if raw.startswith(b"{"):
        named = _JSON_TIME.search(raw)
        match = _TIME.match(named[1]) if named is not None else None
    else:
        start = _TEXT_START.match(raw)
        match = _TIME.match(raw, start.end()) if start is not None else None
    if match is None:
        return None
    seconds = _seconds(match[1], match[2], match[4] or b"")
    if seconds < 0:
        return None
    return seconds + (float(f"0.{match[3].decode()}") if match[3] else 0.0)


def continues(raw: bytes, before: bytes) -> bool:
    """Return whether a line without a time belongs to the line before it, as those of a traceback do.

    Args:
        raw: The line.
        before: The line before it, with what belongs to that already.
    """
    if raw[:1] in {b" ", b"\t", b"\n", b"\r"} or raw.startswith(_OF_TRACEBACKS):
        return True
    if _DAGSTER_ERROR.match(before) and (raw.startswith(b"Stack Trace:") or _EXCEPTION.match(raw)):
        return True
    last = before.rstrip().rpartition(b"\n")[2]
    return b"Traceback (most recent call last):" in before and last[:1] in {b" ", b"\t"}


def parse_line(raw: bytes, at: float, origin: LineOrigin) -> LogLine:
    """Return what a line says; `raw` may have further lines that belong to it."""
    text = raw.decode("utf-8", errors="replace").rstrip("\r\n")
    if origin.is_strangers:
        return LogLine(at, _shown(text), "", origin.component, origin.source, origin.context, origin.run_id)
    if raw.startswith(b"{"):
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict):
            return _of_object(values, at, origin)
    return _of_text(text, at, origin)


def _of_object(values: dict[str, Any], at: float, origin: LineOrigin) -> LogLine:
    if "call_id" in values and "latency_s" in values:
        return _of_call(values, at, origin)
    if VERSION_KEY in values:
        values = from_ecs(values)
    context = {**origin.context, **{key: str(values[key]) for key in CONTEXT if values.get(key)}}
    others = {str(key): value for key, value in values.items() if key not in _HIDDEN_KEYS}
    event = str(values.get("event") or values.get("message") or "")
    if not event:
        event, others = json.dumps(values, ensure_ascii=False), {}
    component = str(values.get("component") or "") or origin.component
    level = _level_name(str(values.get("level") or ""))
    run = _RUN.search(event)
    run_id = str(others.get("run_id") or "") or (run[1] if run is not None else origin.run_id)
    return LogLine(at, _shown(event), level, component, origin.source, context, run_id, others)


def _of_call(values: dict[str, Any], at: float, origin: LineOrigin) -> LogLine:
    failed = values.get("error")
    target = values.get("target") or "model"
    text = f"call of a {target}: {values.get('model') or values.get('path') or ''}"
    text += f" failed: {failed}" if failed else f" answered {values.get('status')}"
    shown = ("provider", "status", "latency_s", "input_tokens", "output_tokens", "cost_usd", "error", "call_id")
    others = {key: values[key] for key in shown if values.get(key) is not None}
    level = "warning" if failed else "info"
    return LogLine(at, _shown(text), level, origin.component, origin.source, origin.context, "", others)


def _of_text(text: str, at: float, origin: LineOrigin) -> LogLine:
    text = without_sequences(text)
    level = _LEVEL.search(text[:300])
    name = next(filter(None, level.groups()), "") if level is not None else ""
    if not name and "Traceback (most recent call last):" in text:
        name = "error"
    run = _RUN.search(text[:500])
    named = {match[1]: match[2] for match in _NAMED.finditer(text)} if "=" in text else {}
    component = named.pop("component", "") or origin.component
    run_id = run[1] if run is not None else origin.run_id
    values: dict[str, Any] = {}
    if (dagster := _DAGSTER.match(text)) is not None:
        text = text[dagster.end() :]
        values = {key: dagster[key] for key in ("job", "run") if dagster[key]} or {"logger": dagster["logger"]}
    context = {**origin.context, **named}
    return LogLine(at, _shown(text), _level_name(name), component, origin.source, context, run_id, values)


def _level_name(name: str) -> str:
    name = name.lower()
    if name in {"critical", "fatal", "exception"}:
        return "error"
    return {"warn": "warning", "trace": "debug"}.get(name, name if name in LEVELS else "")


def _shown(text: str) -> str:
    if _RAISED_ON_PURPOSE in text:
        # An op has ended so by itself, and says why: where in Dagster's own code it was called tells nobody anything.
        text = text.partition(_STACK)[0]
    text = plain(text)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} … ({len(text) - MAX_TEXT} characters more)"


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which lines are asked for.

    Args:
        since: From when on, in seconds since 1970.
        until: Until when; None for no end.
        components: Their components; empty for all.
        least_level: The level that they have at least; a line without a level counts as `info`. Empty for all.
        repository: Of this repository; empty for all.
        ids: Lines that name one of these, in a field or in their text; empty for all. Of a task they are its own id and
            those of its attempts and runs.
        runs: Lines of these runs of Dagster too, unless they have another trace.
        traces: Lines of these traces, or of those that begin so, too, unless they are another task's.
    """

    since: float
    until: float | None = None
    components: frozenset[str] = frozenset()
    least_level: str = ""
    repository: str = ""
    ids: frozenset[str] = frozenset()
    runs: frozenset[str] = frozenset()
    traces: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """What is named in each line that answers; empty for anything."""
        return self.ids | self.runs | self.traces

    def needle(self) -> re.Pattern[bytes] | None:
        """Return what is in the bytes of each line that answers; None where that cannot be said."""
        names = sorted(self.names)
        if names:
            return re.compile(b"|".join(re.escape(name.encode()) for name in names))
        return re.compile(re.escape(self.repository.encode()), re.IGNORECASE) if self.repository else None

    def answers(self, line: LogLine) -> bool:
        """Return whether a line is asked for."""
        if line.at < self.since or (self.until is not None and line.at >= self.until):
            return False
        if self.components and line.component not in self.components:
            return False
        if self.least_level and LEVELS.get(line.level, LEVELS["info"]) < LEVELS[self.least_level]:
            return False
        if self.repository and not self._is_of_repository(line):
            return False
        return not self.names or self._is_named(line)

    def _is_of_repository(self, line: LogLine) -> bool:
        own = line.context.get("repository", "")
        name = self.repository.casefold()
        return own.casefold() == name if own else name in line.text.casefold()

    def _is_named(self, line: LogLine) -> bool:
        if line.run_id in self.ids or any(value in self.ids for value in line.context.values()):
            return True
        if any(name in line.text for name in self.ids) or any(name in str(line.values) for name in self.ids):
            return True
        is_anothers = bool(self.ids) and bool(line.context.get("task_id") or line.context.get("attempt_id"))
        if is_anothers:
            return False
        own = line.context.get("trace_id", "")
        if not own and (line.run_id in self.runs or any(name in line.text for name in self.runs)):
            return True
        return any(own.startswith(name) or name in line.text for name in self.traces)


def moment(at: float) -> str:
    """Return a time in UTC as lines show it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
