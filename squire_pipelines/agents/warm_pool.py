"""Keeps the pool of warm containers at its size, without those that are old, ended or no longer wanted.

It shares no lock with attempts: whoever moves a slot's folder away has the slot, so that filling delays no claim.
"""

import contextlib
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import DockerException, NotFound

from squire_pipelines.agents import profile
from squire_pipelines.agents.engine_kinds import create_container
from squire_pipelines.agents.warm import LABEL_HOME, Slot, WarmProfile
from squire_pipelines.errors import EngineError
from squire_pipelines.observability.logging import Component, get_logger

MAX_MADE = 2
"""How many are made at once, so that the caller can look in between whether an attempt needs the engine."""
# So long after its greatest age a container ends by itself, should nobody be left to remove it.
_LEEWAY_S = 120.0
_log = get_logger(Component.AGENT)


@dataclass(frozen=True, slots=True)
class PoolTarget:
    """How many warm containers of a profile there shall be, and how old they may grow, in seconds."""

    profile: WarmProfile
    size: int
    max_age_s: float


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """What there is after tending: how many wait, were made and were removed."""

    waiting: int
    made: int
    removed: int


@dataclass(frozen=True, slots=True)
class _PoolState:
    """What the pool holds: how many wait, by key, slots that nobody wants, and ended containers without a slot."""

    waiting: dict[str, int]
    stale: list[Slot]
    ended: list[str]


class WarmPool:
    """The warm containers of one home on one engine. At most one process tends them at a time.

    Args:
        folder: Where the slots lie, `<profile's key>/<slot>`; on the file system of the attempts' folders.
        home: Names the pool on an engine that several share.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, client: docker.DockerClient, folder: Path, home: Path, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._folder = folder
        self._home = home
        self._clock = clock

    def tend(self, targets: Mapping[str, PoolTarget], *, fill: bool = True) -> PoolCounts:
        """Remove what is not wanted, old or ended; then make what is missing.

        Args:
            targets: By the profile's key.
            fill: Whether to make any; `MAX_MADE` at most.

        Raises:
            EngineError: The engine does not answer, or cannot make one.
        """
        try:
            waiting, removed = self._clear(targets)
            made = self._fill(targets, waiting) if fill else 0
        except (DockerException, requests.RequestException, OSError) as error:
            raise EngineError(f"the warm containers could not be tended: {str(error)[:300]}") from error
        return PoolCounts(sum(waiting.values()) + made, made, removed)

    def needs_tending(self, targets: Mapping[str, PoolTarget], *, fill: bool = True) -> bool:
        """Return whether `tend` would remove or make a container. Changes nothing. Raises EngineError."""
        try:
            state = self._read(targets)
        except (DockerException, requests.RequestException, OSError) as error:
            raise EngineError(f"the warm containers could not be listed: {str(error)[:300]}") from error
        missing = any(state.waiting[key] < target.size for key, target in targets.items())
        return bool(state.stale or state.ended) or (fill and missing) or (not targets and self._folder.is_dir())

    def _read(self, targets: Mapping[str, PoolTarget]) -> "_PoolState":
        containers = self._containers()
        state = _PoolState(dict.fromkeys(targets, 0), [], [])
        for slot in [Slot(path) for folder in self._keys() for path in folder.iterdir()]:
            item, key = containers.pop(slot.name, None), slot.folder.parent.name
            if item and key in targets and state.waiting[key] < targets[key].size and self._is_well(item, targets[key]):
                state.waiting[key] += 1
            else:
                state.stale.append(slot)
        # Without a folder it is an attempt's, or about to be; if that attempt's process has died, it ends by itself.
        state.ended.extend(name for name, item in containers.items() if item["State"] != "running")
        return state

    def _clear(self, targets: Mapping[str, PoolTarget]) -> tuple[dict[str, int], int]:
        """Remove what is not wanted; return how many wait, by key, and how many were removed."""
        for path in self._folder.glob(".*"):
            shutil.rmtree(path, ignore_errors=True)  # left by a clearing that was cut off
        state = self._read(targets)
        removed = 0
        for slot in state.stale:
            if slot.moved_to(self._folder / f".{slot.name}") is not None:
                removed += self._remove(slot.name)
                shutil.rmtree(self._folder / f".{slot.name}", ignore_errors=True)
        removed += sum(self._remove(name) for name in state.ended)
        for folder in self._keys():
            with contextlib.suppress(OSError):  # not empty: in use
                folder.rmdir()
        return state.waiting, removed

    @property
    def is_empty(self) -> bool:
        """Whether no container is the pool's. Raises the engine's errors."""
        return not self._containers()

    def _is_well(self, item: Mapping[str, Any], target: PoolTarget) -> bool:
        return bool(item["State"] == "running" and self._clock() - float(item["Created"]) < target.max_age_s)

    def _containers(self) -> dict[str, dict[str, Any]]:
        """Return those that no attempt has renamed yet, by their slot."""
        labels = [profile.LABEL_SLOT, f"{LABEL_HOME}={self._home}"]
        items = self._client.api.containers(all=True, filters={"label": labels})
        by_slot = {item["Labels"][profile.LABEL_SLOT]: item for item in items}
        return {slot: item for slot, item in by_slot.items() if f"/{profile.warm_name(slot)}" in item["Names"]}

    def _keys(self) -> list[Path]:
        return [path for path in self._folder.glob("[!.]*") if path.is_dir()]

    def _remove(self, name: str) -> bool:
        """Remove a container by its name in the pool: one that was taken meanwhile has another."""
        try:
            self._client.api.remove_container(profile.warm_name(name), force=True, v=True)
        except NotFound:
            return False
        return True

    def _fill(self, targets: Mapping[str, PoolTarget], waiting: Mapping[str, int]) -> int:
        missing = [target for key, target in targets.items() for _ in range(target.size - waiting[key])]
        for target in missing[:MAX_MADE]:
            self._make(target)
        return min(len(missing), MAX_MADE)

    def _make(self, target: PoolTarget) -> None:
        slot = Slot(self._folder / target.profile.key / secrets.token_hex(8))
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, slot.folder, ignore_errors=True)
            slot.make()
            arguments = target.profile.create_arguments(slot, home=self._home, wait_s=target.max_age_s + _LEEWAY_S)
            undo.callback(self._remove, slot.name)
            create_container(self._client, **arguments).start()
            undo.pop_all()
        _log.info("agent.warmed", slot=slot.name, key=target.profile.key)
