"""Describes package caches that agents may read and not change, and how their folders are mounted.

The entrypoint makes a tool work with a cache that it cannot write: worker-image/squire_worker/caches.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from docker.types import Mount

FOLDER = "/var/cache/squire"
_Kind = TypeVar("_Kind", bound=str)


@dataclass(frozen=True, slots=True)
class Cache:
    """One cache: its kind, and a folder of the host (absolute) or the name of a volume of the engine."""

    kind: str
    source: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of the host."""
        return self.source.startswith("/")

    @property
    def target(self) -> str:
        """Where it is in the container."""
        return f"{FOLDER}/{self.kind}"


def read_caches(settings: Mapping[_Kind, str]) -> tuple[Cache, ...]:
    """Return the caches of the setting `agent.caches`, which is checked when the settings are loaded."""
    return tuple(Cache(kind, source) for kind, source in sorted(settings.items()))


def mounts(caches: tuple[Cache, ...]) -> list[Any]:
    """Return the engine's mounts, all of them read-only."""
    return [
        Mount(cache.target, cache.source, type="bind" if cache.is_folder else "volume", read_only=True)
        for cache in caches
    ]
