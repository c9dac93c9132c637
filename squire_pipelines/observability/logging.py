"""Structured logs on standard error: set up once by each process, free of secrets, with the trace of what happens.

Every line is a record of Python's `logging`, so that what libraries log is cleaned and written in the same way.
structlog takes 0.1 s to import, so it is imported when the first line is written.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, partial
from types import MappingProxyType
from typing import Any, Literal, TextIO

from squire_pipelines import __version__
from squire_pipelines.domain.ecs_lines import LineProcess, to_ecs
from squire_pipelines.machine_name import machine_name

Level = Literal["debug", "info", "warning", "error"]
_LEVELS: Mapping[str, int] = MappingProxyType(
    {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
)
LEVEL_VARIABLE = "SQUIRE_LOGGING__LEVEL"
"""The environment's name for `[logging] level`, which child processes inherit."""
FORMAT_VARIABLE = "SQUIRE_LOGGING__FORMAT"
LineFormat = Literal["auto", "json", "ecs", "console"]

_OURS = "squire"
_MAX_DEPTH = 6
_context: ContextVar[Mapping[str, str]] = ContextVar("squire_log_context", default=MappingProxyType({}))


class Component(StrEnum):
    """Which part of Squire writes a line."""

    AGENT = "agent"
    BOARD = "board"
    CLI = "cli"
    ENDPOINT = "endpoint"
    GATEWAY = "gateway"
    GITHUB = "github"
    PIPELINE = "pipeline"
    PUBLISHER = "publisher"
    WEBHOOKS = "webhooks"
    WORKER = "worker"


class Logger:
    """A component's logger: `event` is a short constant name, what varies goes into keywords."""

    __slots__ = ("_component", "_logger")

    def __init__(self, component: Component) -> None:
        self._component = component
        self._logger = logging.getLogger(f"{_OURS}.{component}")

    def _write(self, level: int, event: str, values: Mapping[str, Any], *, exc_info: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            self._handle(level, event, values, exc_info=exc_info)

    def _handle(self, level: int, event: str, values: Mapping[str, Any], *, exc_info: bool = False) -> None:
        # Not `Logger.log`, which looks through the stack for a place in the source that no line of ours shows.
        extra = {"squire_values": {"component": self._component.value, **values}}
        raised = sys.exc_info() if exc_info else None
        name = self._logger.name
        self._logger.handle(self._logger.makeRecord(name, level, "", 0, event, (), raised, extra=extra))

    def debug(self, event: str, **values: Any) -> None:
        """Log what helps to find a fault in Squire itself; also where the level is above, while that is debugged."""
        if self._logger.isEnabledFor(logging.DEBUG):
            self._write(logging.DEBUG, event, values)
            return
        repository = str(values.get("repository") or _context.get().get("repository", ""))
        if _is_debugged is not None and _is_debugged(repository):
            self._handle(logging.DEBUG, event, values)

    def info(self, event: str, **values: Any) -> None:
        """Log that something happened as it should."""
        self._write(logging.INFO, event, values)

    def warning(self, event: str, **values: Any) -> None:
        """Log that something is not as it should be, and was dealt with."""
        self._write(logging.WARNING, event, values)

    def error(self, event: str, **values: Any) -> None:
        """Log that something failed."""
        self._write(logging.ERROR, event, values)

    def exception(self, event: str, **values: Any) -> None:
        """Log that something failed, with the traceback of the exception that is being handled."""
        self._write(logging.ERROR, event, values, exc_info=True)


_is_debugged: Callable[[str], bool] | None = None


def set_debugged(is_debugged: Callable[[str], bool] | None) -> None:
    """Set what says whether a repository is debugged, of which lines of the level debug are then written too."""
    global _is_debugged  # noqa: PLW0603 - as logging's own handlers, it belongs to the process
    _is_debugged = is_debugged


def get_logger(component: Component) -> Logger:
    """Return the logger of a component."""
    return Logger(component)


@contextmanager
def bound_context(
    *,
    trace_id: str | None = None,
    task_id: str | None = None,
    attempt_id: str | None = None,
    delivery_id: str | None = None,
    repository: str | None = None,
) -> Iterator[None]:
    """Put these on every line that is written within, by whichever logger, in this thread or asyncio task.

    An asyncio task that is started within inherits them, a thread when it runs what `with_context` returns.
    """
    ids = {
        "trace_id": trace_id,
        "task_id": task_id,
        "attempt_id": attempt_id,
        "delivery_id": delivery_id,
        "repository": repository,
    }
    merged = {**_context.get(), **{key: value for key, value in ids.items() if value is not None}}
    token = _context.set(MappingProxyType(merged))
    try:
        yield
    finally:
        _context.reset(token)


@contextmanager
def lines_together() -> Iterator[None]:
    """Write the lines of a short block at its end and at once: each write lets other threads go first.

    What other threads log meanwhile is written with them.
    """
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, _Handler)]
    for handler in handlers:
        handler.begin_block()
    try:
        yield
    finally:
        for handler in handlers:
            handler.end_block()


def with_context(function: Callable[[], None]) -> Callable[[], None]:
    """Return a function for a thread of its own, whose lines have the caller's bound context."""
    return partial(copy_context().run, function)


def configure_logging(component: Component, *, level: Level | None = None, stream: TextIO | None = None) -> None:
    """Set up this process's logs; may be called again, the last call holds.

    Lines have the format of `SQUIRE_LOGGING__FORMAT` until `set_format` is called: by default text on a terminal, else
    JSON objects. Handlers that others have set up stay, and get clean text too.

    Args:
        component: What this process is; stands on the lines of libraries.
        level: The least level that is written; by default `SQUIRE_LOGGING__LEVEL`, else info.
        stream: Where to write; by default standard error as it is at each line.
    """
    if logging.getLogRecordFactory() is not _make_clean_record:
        logging.setLogRecordFactory(_make_clean_record)
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler, _Handler):
            root.removeHandler(handler)
    root.addHandler(_Handler(component, stream))
    set_level(level)
    set_format(None)
    if "structlog" in sys.modules:
        _configure_structlog()


def set_level(level: Level | None) -> None:
    """Set the least level that is written; None takes it from the environment.

    Of libraries, warnings are written, and with `debug` their information: below that, some log what they send.
    """
    number = _LEVELS.get(level or os.environ.get(LEVEL_VARIABLE, ""), logging.INFO)
    logging.getLogger(_OURS).setLevel(number)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its information is about its plugins, not about ledgers
    logging.getLogger().setLevel(logging.INFO if number == logging.DEBUG else max(number, logging.WARNING))


def set_format(line_format: LineFormat | None) -> None:
    """Set how lines look; None takes it from the environment: by default text on a terminal, else JSON objects."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.line_format = line_format or os.environ.get(FORMAT_VARIABLE, "auto")


def library_logger(name: str, level: Level) -> logging.Logger:
    """Return a library's own logger, which writes nothing below `level` from now on."""
    logger = logging.getLogger(name)
    logger.setLevel(_LEVELS[level])
    return logger


@cache
def filter_library(name: str, keeps: Callable[[str], bool]) -> None:
    """Leave out the lines of a library's logger that `keeps` refuses by their text, before values are put into it."""
    logging.getLogger(name).addFilter(lambda record: keeps(str(record.msg)))


def silence_all() -> None:
    """Write nothing from now on, whichever library logs it."""
    logging.disable(logging.CRITICAL)


def _make_clean_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """Make a log record without secrets, whichever library logs it and whichever handler writes it."""
    record = logging.LogRecord(*args, **kwargs)
    redact = _redact()
    if isinstance(record.msg, Mapping):  # structlog's
        record.msg = _clean(record.msg, redact)
    else:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - the arguments do not fit; Python would print them as they are
            message = f"{record.msg} {record.args}"
        record.msg, record.args = redact(message), ()
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
    if record.stack_info:
        record.stack_info = redact(record.stack_info)
    return record


def _redact() -> Callable[[str], str]:
    from squire_pipelines.secrets.redact import process_redactor  # noqa: PLC0415 - a command that logs nothing starts sooner

    return process_redactor().redact


def _clean(value: Any, redact: Callable[[str], str], depth: int = 0) -> Any:
    if type(value) is str:  # most are
        return redact(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {redact(str(key)): _clean(item, redact, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [_clean(item, redact, depth + 1) for item in value]
    return redact(str(value))


class _Handler(logging.Handler):
    """Writes each record as one line."""

    def __init__(self, component: Component, stream: TextIO | None) -> None:
        super().__init__()
        self._component = component
        self._stream = stream
        self._blocks = 0
        self._waiting: list[str] = []
        self.line_format = "auto"

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless its library has a handler of its own, which has written it."""
        if _has_own_handler(record.name):
            return
        stream = self._stream or sys.stderr
        try:
            at_terminal = stream.isatty()
            for_people = at_terminal if self.line_format == "auto" else self.line_format == "console"
            if for_people:
                line = _console_renderer(colors=at_terminal)(None, record.levelname.lower(), self._event(record))
            else:
                line = _json_renderer()(self._object(record))
        except Exception as error:  # noqa: BLE001 - a line that cannot be written ends nothing; Python would show its values
            line = f"a log line could not be written: {type(error).__name__}"
        self._waiting.append(line)
        if not self._blocks:
            self._write()

    def _write(self) -> None:
        """Write the lines that wait. The caller has the handler's lock."""
        text = "".join(f"{line}\n" for line in self._waiting)
        self._waiting.clear()
        stream = self._stream or sys.stderr
        with suppress(OSError, ValueError):  # nobody reads it any more: a broken pipe, a closed stream
            stream.write(text)
            stream.flush()

    def begin_block(self) -> None:
        """Let lines wait from now on."""
        with self.lock or nullcontext():
            self._blocks += 1

    def end_block(self) -> None:
        """Write the lines that wait, unless another block goes on."""
        with self.lock or nullcontext():
            self._blocks -= 1
            if not self._blocks:
                self._write()

    def _object(self, record: logging.LogRecord) -> dict[str, Any]:
        event = self._event(record) | {"machine": machine_name()}
        if self.line_format != "ecs":
            return event
        error = record.exc_info[1] if record.exc_info else None
        raised = None if error is None else (type(error).__qualname__, _redact()(str(error)))
        return dict(to_ecs(event, LineProcess(__version__, os.uname().nodename, os.getpid()), raised))

    def _event(self, record: logging.LogRecord) -> dict[str, Any]:
        values = getattr(record, "squire_values", None) or {"component": self._component.value, "logger": record.name}
        redact = _redact()
        event: dict[str, Any] = {
            **_clean(record.msg if isinstance(record.msg, Mapping) else {"event": record.msg}, redact),
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            # Names of values are our own words, which a person's secret may be as well.
            **{name: _clean(value, redact, 1) for name, value in {**_context.get(), **values}.items()},
        }
        if record.exc_text:
            event["exception"] = redact(record.exc_text)
        return event


def _has_own_handler(name: str) -> bool:
    """Return whether a logger below the root writes what a logger of this name logs, as Dagster's programs have one."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None and logger is not logging.root:
        if any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            return True
        logger = logger.parent
    return False


@cache
def _console_renderer(*, colors: bool) -> Callable[[Any, str, dict[str, Any]], Any]:
    import structlog  # noqa: PLC0415 - see the module's docstring

    _configure_structlog()
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)


@cache
def _json_renderer() -> Callable[[dict[str, Any]], str]:
    _configure_structlog()
    return json.JSONEncoder().encode  # `json.dumps` makes one for each line


def _configure_structlog() -> None:
    """Have what libraries log by structlog become records of Python's logging, as Dagster's programs do already."""
    import structlog  # noqa: PLC0415 - see the module's docstring

    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.processors.format_exc_info,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
        )
