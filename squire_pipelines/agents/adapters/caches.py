"""Describes package caches that agents may read and not change, and how their folders are mounted.

The entrypoint makes a tool work with a cache that it cannot write: worker-image/squire_worker/caches.py.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.types import Mount

from squire_pipelines.errors import ConfigError

FOLDER = "/var/cache/squire"
KINDS = ("npm", "pnpm", "pip", "uv")


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


def read_caches(settings: dict[str, str]) -> tuple[Cache, ...]:
    """Return the caches of the setting `agent.caches`.

    Raises:
        ConfigError: A kind is not known, or a folder does not exist on this machine.
    """
    caches = []
    for kind, source in sorted(settings.items()):
        if kind not in KINDS:
            raise ConfigError(f"agent.caches: there is no cache {kind!r}", hint=f"it is one of {', '.join(KINDS)}")
        path = Path(source).expanduser()
        cache = Cache(kind, str(path) if source.startswith(("/", "~")) else source)
        if cache.is_folder and not path.is_dir():
            raise ConfigError(
                f"agent.caches.{kind} = {source!r} is no folder",
                hint="fill it first; docs/reference/agents.md says how, for each tool",
            )
        if not cache.is_folder and "/" in source:
            raise ConfigError(
                f"agent.caches.{kind} = {source!r} is neither an absolute folder nor the name of a volume",
                hint="write the folder from the root",
            )
        caches.append(cache)
    return tuple(caches)


def mounts(caches: tuple[Cache, ...]) -> list[Any]:
    """Return the engine's mounts, all of them read-only."""
    return [
        Mount(cache.target, cache.source, type="bind" if cache.is_folder else "volume", read_only=True)
        for cache in caches
    ]
