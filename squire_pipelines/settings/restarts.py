"""Which settings a running process cannot take: it was started with them. All others hold from the next look on."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from squire_pipelines.settings.model import Settings


class Part(StrEnum):
    """A process that follows the settings, by what it does."""

    RECEIVER = "receiver"
    SENSORS = "sensors"
    DEV = "dev"
    ENDPOINT = "endpoint"
    BOARD = "board"


_ALL = frozenset(Part)
_RECEIVER = frozenset({Part.RECEIVER})
_SENSORS = frozenset({Part.SENSORS})
_DEV = frozenset({Part.DEV})
_ENDPOINT = frozenset({Part.ENDPOINT})
_BOARD = frozenset({Part.BOARD})

RESTART_KEYS: Mapping[str, frozenset[Part]] = MappingProxyType(
    {
        "ledger_url": _ALL,  # each keeps its connections to the ledger
        "webhooks.host": _RECEIVER,  # it listens there
        "webhooks.port": _RECEIVER,
        "webhooks.max_body": _RECEIVER,
        "webhooks.connections_per_address": _RECEIVER,
        "collection.schedule": _SENSORS,  # part of Dagster's definitions, as all that follow
        "collection.interval_s": _SENSORS,
        "collection.time_zone": _SENSORS,
        "retention.schedule": _SENSORS,
        "pipeline.executor": _SENSORS,
        "pipeline.image": _SENSORS,
        "pipeline.network": _SENSORS,
        "pipeline.step_limits": _SENSORS,
        "agent.limits.grace_s": _SENSORS,
        "pipeline.webserver_host": _DEV,
        "workers.broker_url": _ALL,  # it decides what starts runs
        "pipeline.webserver_port": _DEV,
        "pipeline.storage_url": _DEV,
        "logging.max_file": _DEV,  # the processes get them at their start
        "logging.files": _DEV,
        "observability.enabled": _DEV,
        "observability.host": _ENDPOINT,
        "observability.port": _ENDPOINT,
        "board.enabled": _DEV,
        "board.host": _BOARD,
        "board.port": _BOARD,
        "board.login": _BOARD,  # whoever is signed in has been so by the other way
    }
)
"""The keys, with the processes that have to be started again; a table stands for all its keys."""


def changed_restart_keys(at_start: Settings, now: Settings, part: Part) -> tuple[str, ...]:
    """Return the keys that have another value than a process was started with, and that it cannot take.

    Args:
        at_start: What it was started with.
        now: What is in force.
        part: What the process does. `squire dev` starts the others, so that its restart is theirs.
    """
    return tuple(
        key
        for key, parts in RESTART_KEYS.items()
        if (part is Part.DEV or part in parts) and _value(at_start, key) != _value(now, key)
    )


def _value(settings: Settings, key: str) -> Any:
    value: Any = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value
