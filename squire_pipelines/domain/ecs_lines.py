"""A line of ours as a document of the Elastic Common Schema, and back.

Keys are dotted and at the top, as Elastic's loggers write them; what the schema has no field for is a label, which is
text, so that no two lines ever disagree about the type of a field. Pure.
https://www.elastic.co/docs/reference/ecs/ecs-field-reference
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

ECS_VERSION = "8.17.0"
VERSION_KEY = "ecs.version"
_LABELS = "labels."
_DATASET = "squire."
_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "timestamp": "@timestamp",
        "level": "log.level",
        "event": "message",
        "machine": "service.node.name",
        "logger": "log.logger",
        "trace_id": "trace.id",
        "exception": "error.stack_trace",
    }
)
"""Our names, and the schema's fields of the same meaning."""

_NAMES: Mapping[str, str] = MappingProxyType({field: name for name, field in _FIELDS.items()})


@dataclass(frozen=True, slots=True)
class LineProcess:
    """The process that writes a line: Squire's version, the machine's host name, and its own number there."""

    version: str
    host: str
    pid: int


def to_ecs(line: Mapping[str, Any], process: LineProcess, error: tuple[str, str] | None = None) -> dict[str, str | int]:
    """Return the document of a line.

    Args:
        line: Our names and values; `timestamp`, `level` and `event` are among them.
        process: Which process writes it.
        error: The exception's type and message, where the line is about one.
    """
    first = ("timestamp", "level", "event")
    document: dict[str, str | int] = {_FIELDS[name]: str(line[name]) for name in first}
    document[VERSION_KEY] = ECS_VERSION
    document |= {"service.name": "squire", "service.version": process.version, "host.name": process.host}
    document["process.pid"] = process.pid
    if error is not None:
        document |= {"error.type": error[0], "error.message": error[1]}
    for name, value in line.items():
        if name == "component":
            document["event.dataset"] = f"{_DATASET}{value}"
        elif name in _FIELDS:
            document[_FIELDS[name]] = str(value)
        elif value is not None:
            document[f"{_LABELS}{name.replace('.', '_')}"] = value if isinstance(value, str) else json.dumps(value)
    return document


def from_ecs(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return our names and values of a document; values that were labels are text."""
    line: dict[str, Any] = {}
    for key, value in document.items():
        if key in _NAMES:
            line[_NAMES[key]] = value
        elif key.startswith(_LABELS):
            line[key.removeprefix(_LABELS)] = value
        elif key == "event.dataset":
            line["component"] = str(value).removeprefix(_DATASET)
    return line
