"""Checks with the engine whether an agent could start, before an attempt is dispatched. Changes nothing.

Without it, one attempt after the other would fail for the same reason.
"""

import contextlib
import shutil
import threading
import time
from pathlib import Path

import docker

from squire_pipelines.agents import engine, worker_files
from squire_pipelines.agents.endings import image_hint
from squire_pipelines.agents.limits import check_machine
from squire_pipelines.deadline import Deadline
from squire_pipelines.errors import ConfigError, EngineError, SquireError
from squire_pipelines.sections.agents import AgentSettings

TIMEOUT_S = 10.0
CACHED_S = 15.0
_MAX_CACHED = 256
CONTRACT_LABEL, CONTRACT = "squire.worker.contract", "2"
"""What a worker image says of its entrypoint: 2 waits until its result was taken out of the container's memory."""


def check_startable(
    agent: AgentSettings,
    *,
    hosts: tuple[str, ...] | None = None,
    timeout_s: float = TIMEOUT_S,
    deadline: Deadline | None = None,
) -> bool:
    """Refuse settings with which no container of the agent's can start; return whether it starts in a container.

    Without an engine, `auto` permits a command to run locally, so that this is no refusal. The engine is asked until
    `deadline`, and then counts as one that does not answer.

    Raises:
        ConfigError: The engine is too old or lacks the runtime, the image has no entrypoint or one of another
            contract, the seccomp profile is no JSON, or the limits are above the machine's.
        ImageMissingError: The engine has no such image.
        EngineError: No engine answers, or its disk is full.
    """
    if agent.runner == "local":
        return False
    if agent.runner == "kubernetes":
        return True  # each worker has a connection of its own to the cluster, and a pod says what it waits for
    worker_files.seccomp_profile(agent.seccomp)
    try:
        client = engine.connect(timeout_s, hosts=hosts, image=agent.worker_image, deadline=deadline)
    except EngineError:
        if agent.runner == "auto" and agent.kind == "command":
            return False
        raise
    with contextlib.closing(client):
        check_engine(agent, client)
    return True


def check_engine(
    agent: AgentSettings, client: docker.DockerClient, *, min_api: tuple[int, int] = engine.MIN_API
) -> engine.EngineInfo:
    """Return what the engine says of itself, if the agent can start there; raises as `check_startable`."""
    info = engine.describe(client)
    if info.is_older_than(min_api):
        raise ConfigError(
            f"the engine at {info.host} speaks API {info.api_version}, which is older than {min_api[0]}.{min_api[1]}",
            hint="upgrade it: Docker 20.10, Podman 4.0 or newer",
        )
    if agent.runtime is not None and info.runtimes and agent.runtime not in info.runtimes:
        known = ", ".join(info.runtimes)
        raise ConfigError(
            f"agent.runtime = {agent.runtime!r}: the engine at {info.host} has no such runtime, only {known}",
            hint="install it and name it in the engine's daemon.json, or leave it out",
        )
    check_machine(agent.limits, cpus=info.cpus, memory_bytes=info.memory_bytes)
    _check_image(agent.worker_image, client)
    _check_disk(agent, info)
    return info


def _check_image(image: str, client: docker.DockerClient) -> None:
    config = engine.image_attributes(client, image).get("Config") or {}
    if not config.get("Entrypoint"):
        raise ConfigError(
            f"the image {image} has no entrypoint, so it is no worker image",
            hint=f"name one that was built from worker-image/: {image_hint(image)}",
        )
    # An older entrypoint ends with its container's memory, and every result with it, before the host has read it.
    if (contract := (config.get("Labels") or {}).get(CONTRACT_LABEL)) != CONTRACT:
        raise ConfigError(
            f"the image {image} hands its results out by contract {contract or 1}; Squire needs {CONTRACT}",
            hint=f"build it again from this version's worker-image/: {image_hint(image)}",
        )


def _check_disk(agent: AgentSettings, info: engine.EngineInfo) -> None:
    # Another machine's folder, or one that a step container does not see, is the engine's own matter.
    if not info.root or not info.host.startswith(("unix", "http+docker")) or not Path(info.root).is_dir():
        return
    try:
        free = shutil.disk_usage(info.root).free
    except OSError:
        return  # this process may not look at it
    if free < agent.min_free_disk:
        raise EngineError(
            f"the engine's disk is full: {free} bytes free in {info.root}, agent.min_free_disk = {agent.min_free_disk}",
            hint="free some space, for example with `docker system prune`",
        )


class Preflight:
    """`check_startable` with a cache, for a sensor that asks every few seconds."""

    def __init__(self, cached_s: float = CACHED_S) -> None:
        self._cached_s = cached_s
        self._lock = threading.Lock()
        self._cache: dict[str, tuple[float, SquireError | None]] = {}

    def problem(self, agent: AgentSettings, deadline: Deadline) -> SquireError | None:
        """Return why the agent cannot start, or None; the answer is at most `cached_s` old.

        An answer that the deadline cut off is not kept: the next caller has time of its own to ask.
        """
        key = agent.model_dump_json()
        with self._lock:
            cached = self._cache.get(key)
            if cached is not None and time.monotonic() - cached[0] < self._cached_s:
                return cached[1]
            problem: SquireError | None = None
            try:
                check_startable(agent, deadline=deadline)
            except SquireError as error:
                problem = error
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            if not deadline.is_past:
                self._cache[key] = (time.monotonic(), problem)
            return problem
