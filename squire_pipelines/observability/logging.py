"""Structured logs on standard error: set up once by each process, free of secrets, carrying the trace of what happens.

structlog takes 0.2 s to import, so it is imported when the first line is written, not with this module.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    from squire_pipelines.secrets.redact import Redactor

Level = Literal["debug", "info", "warning", "error"]
_LEVELS: Mapping[str, int] = MappingProxyType({"debug": 10, "info": 20, "warning": 30, "error": 40})
_MAX_DEPTH = 6
_context: ContextVar[Mapping[str, str]] = ContextVar("squire_log_context", default=MappingProxyType({}))


class Component(StrEnum):
    """Which part of Squire speaks."""

    AGENT = "agent"
    CLI = "cli"
    DEMO = "demo"
    DISPATCH = "dispatch"
    GATEWAY = "gateway"
    GITHUB = "github"
    LEDGER = "ledger"
    PLANNER = "planner"
    PUBLISHER = "publisher"
    REAPER = "reaper"
    RUNTIME = "runtime"
    SIGNALS = "signals"
    WAREHOUSE = "warehouse"
    WEBHOOKS = "webhooks"


@dataclass(slots=True)
class _Setup:
    stream: TextIO | None = None
    as_json: bool | None = None
    level: int = _LEVELS["info"]
    redactor: "Redactor | None" = None
    logger: tuple[TextIO, Any] | None = None


_setup = _Setup()


def configure_logging(
    *,
    as_json: bool | None = None,
    level: Level = "info",
    redactor: "Redactor | None" = None,
    stream: TextIO | None = None,
) -> None:
    """Set up this process's logs; may be called again, the last call holds.

    Args:
        as_json: One JSON object per line; by default when `stream` is no terminal.
        level: The least level that is written.
        redactor: Hides the known secrets; without one, patterns alone are hidden.
        stream: Where to write; by default standard error as it is at each line.
    """
    _setup.stream, _setup.as_json, _setup.level, _setup.redactor = stream, as_json, _LEVELS[level], redactor
    _setup.logger = None


@contextmanager
def bound_context(
    *,
    trace_id: str | None = None,
    task_id: str | None = None,
    attempt_id: str | None = None,
    repository: str | None = None,
) -> Iterator[None]:
    """Put these on every line that is written within, in this thread or asyncio task and those it starts."""
    given = {"trace_id": trace_id, "task_id": task_id, "attempt_id": attempt_id, "repository": repository}
    merged = {**_context.get(), **{key: value for key, value in given.items() if value is not None}}
    token = _context.set(MappingProxyType(merged))
    try:
        yield
    finally:
        _context.reset(token)


def _clean(value: Any, redact: Callable[[str], str], depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {redact(str(key)): _clean(item, redact, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [_clean(item, redact, depth + 1) for item in value]
    return redact(str(value))


def _build(setup: _Setup) -> Any:
    import structlog  # noqa: PLC0415 - see the module's docstring

    from squire_pipelines.secrets.redact import Redactor  # noqa: PLC0415 - likewise

    redact = (setup.redactor or Redactor()).redact
    stream = setup.stream or sys.stderr
    as_json = not stream.isatty() if setup.as_json is None else setup.as_json

    def add_context(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return {**_context.get(), **event}

    def redacted(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return {key: _clean(value, redact) for key, value in event.items()}

    renderer: Any = (
        structlog.processors.JSONRenderer(sort_keys=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
    )
    return structlog.wrap_logger(
        structlog.PrintLogger(stream),
        wrapper_class=structlog.make_filtering_bound_logger(setup.level),
        processors=[
            add_context,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            # After the traceback has become text, so that it is cleaned too.
            redacted,
            renderer,
        ],
        cache_logger_on_first_use=False,
    )


class Logger:
    """A part's logger: `event` is a short constant sentence, what varies goes into keywords."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def bind(self, **values: Any) -> "Logger":
        """A logger that puts `values` on each of its lines."""
        return Logger({**self._values, **values})

    def _write(self, level: str, event: str, values: Mapping[str, Any]) -> None:
        if _LEVELS[level] < _setup.level:
            return
        if _setup.logger is None or (_setup.stream is None and _setup.logger[0] is not sys.stderr):
            _setup.logger = (_setup.stream or sys.stderr, _build(_setup))
        getattr(_setup.logger[1], level)(event, **{**self._values, **values})

    def debug(self, event: str, **values: Any) -> None:
        """For whoever looks for a fault in Squire itself."""
        self._write("debug", event, values)

    def info(self, event: str, **values: Any) -> None:
        """Something happened as it should."""
        self._write("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        """Something is not as it should be, and was dealt with."""
        self._write("warning", event, values)

    def error(self, event: str, **values: Any) -> None:
        """Something failed."""
        self._write("error", event, values)

    def exception(self, event: str, **values: Any) -> None:
        """Something failed; to be called where the exception is handled, whose traceback goes along."""
        self._write("error", event, {"exc_info": True, **values})


def get_logger(component: Component) -> Logger:
    """The logger of a part; needs no set-up and costs nothing until a line is written."""
    return Logger({"component": component.value})
