"""How a line of a log is shown: as text for people, or as an object of JSON. Secrets are hidden once more."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from squire_pipelines.domain.log_lines import CONTEXT, LogLine, moment
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.secrets.redact import process_redactor
from squire_pipelines.terminal.output import json_text

_MAX_VALUE = 300
_MAX_VALUES = 2000
_MAX_DEPTH = 6
_EXCEPTION = "exception"


class LineText:
    """Writes lines for people.

    Args:
        same: The ids that all lines have, which are not shown.
    """

    def __init__(self, same: Collection[str] = ()) -> None:
        self._shown = [name for name in CONTEXT if name not in same and name != "delivery_id"]

    def text(self, line: LogLine) -> str:
        """Return a line as text; what it has of further lines is indented."""
        first, *others = line.text.split("\n")
        others += str(line.values[_EXCEPTION]).split("\n") if line.values.get(_EXCEPTION) else []
        head = f"{moment(line.at)} {line.level or '-':<7} {line.component or '-':<9} {first}"
        values = [
            f"{key}={one_line(str(value), limit=_MAX_VALUE)}" for key, value in line.values.items() if key != _EXCEPTION
        ]
        context = [f"{name.removesuffix('_id')}={line.context[name]}" for name in self._shown if line.context.get(name)]
        tail = one_line(" ".join((*values, *context)), limit=_MAX_VALUES)
        text = "\n    ".join((f"{head}  {tail}" if tail else head, *others))
        return process_redactor().redact(text)


def json_line(line: LogLine) -> str:
    """Return a line as an object of JSON on one line; its keys are the same for all lines, but for `values`."""
    values = {
        "timestamp": moment(line.at),
        "level": line.level or None,
        "component": line.component or None,
        "text": line.text,
        **{name: line.context.get(name) for name in CONTEXT},
        "run_id": line.run_id or None,
        "source": line.source,
        "values": line.values,
    }
    return json_text(_redacted(values))


def _redacted(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        return {process_redactor().redact(str(key)): _redacted(item, depth + 1) for key, item in value.items()}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple):
        return [_redacted(item, depth + 1) for item in value]
    return process_redactor().redact(str(value))
