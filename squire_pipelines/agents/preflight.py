"""Whether an agent could start where the settings want it to: asked of the engine before an attempt is dispatched.

What is found here would otherwise end one attempt after the other. Asks and changes nothing.
"""

import shutil
import threading
import time
from pathlib import Path

import docker
import requests
from docker.errors import DockerException, ImageNotFound

from squire_pipelines.agents import engine, files
from squire_pipelines.agents.endings import IMAGE_HINT
from squire_pipelines.agents.limits import check_machine
from squire_pipelines.errors import ConfigError, EngineError, ImageMissingError, SquireError
from squire_pipelines.sections import AgentSettings

TIMEOUT_S = 10.0
REMEMBERED_S = 15.0
_MAX_REMEMBERED = 256


def check_place(agent: AgentSettings, *, hosts: tuple[str, ...] | None = None, timeout_s: float = TIMEOUT_S) -> None:
    """Refuse settings with which no container of the agent's can start.

    Without an engine, `auto` permits a command to run locally, so that this is no refusal.

    Raises:
        ConfigError: The engine is too old or lacks the runtime, the image has no entrypoint, the seccomp profile is
            no JSON, or the limits are above the machine's.
        ImageMissingError: The engine has no such image.
        EngineError: No engine answers, or its disk is full.
    """
    if agent.runner == "local":
        return
    files.seccomp_profile(agent.seccomp)
    try:
        client = engine.connect(timeout_s, hosts=hosts, image=agent.image)
    except EngineError:
        if agent.runner == "auto" and agent.kind == "command":
            return
        raise
    try:
        check_engine(agent, client)
    finally:
        client.close()


def check_engine(agent: AgentSettings, client: docker.DockerClient) -> engine.EngineInfo:
    """What the engine says of itself, if the agent can start there; raises as `check_place`."""
    info = engine.describe(client)
    if info.too_old:
        raise ConfigError(
            f"the engine at {info.host} speaks API {info.api_version}, which is older than {_dotted()}",
            hint="upgrade it: Docker 20.10, Podman 4.0 or newer",
        )
    if agent.runtime is not None and info.runtimes and agent.runtime not in info.runtimes:
        known = ", ".join(info.runtimes)
        raise ConfigError(
            f"agent.runtime = {agent.runtime!r}: the engine at {info.host} has no such runtime, only {known}",
            hint="install it and name it in the engine's daemon.json, or leave it out",
        )
    check_machine(agent.limits, cpus=info.cpus, memory_bytes=info.memory_bytes)
    _check_image(agent.image, client)
    _check_disk(agent, info)
    return info


def _dotted() -> str:
    return ".".join(str(part) for part in engine.MIN_API)


def _check_image(image: str, client: docker.DockerClient) -> None:
    try:
        found = client.images.get(image)
    except ImageNotFound as error:
        raise ImageMissingError(
            f"the image {image} is not on the engine at {client.api.base_url}",
            hint=IMAGE_HINT,
            context={"image": image},
        ) from error
    except (DockerException, requests.RequestException) as error:
        raise EngineError(f"the engine does not say whether it has {image}: {str(error)[:200]}") from error
    if not (found.attrs.get("Config") or {}).get("Entrypoint"):
        raise ConfigError(
            f"the image {image} has no entrypoint, so it is no worker image",
            hint=f"name one that was built from worker-image/: {IMAGE_HINT}",
        )


def _check_disk(agent: AgentSettings, info: engine.EngineInfo) -> None:
    # Another machine's folder, or one that a step container does not see, is the engine's own matter.
    if not info.root or not info.host.startswith(("unix", "http+docker")) or not Path(info.root).is_dir():
        return
    try:
        free = shutil.disk_usage(info.root).free
    except OSError:
        return  # not ours to look at
    if free < agent.min_free_disk:
        raise EngineError(
            f"the engine's disk is full: {free} bytes free in {info.root}, agent.min_free_disk = {agent.min_free_disk}",
            hint="free some space, for example with `docker system prune`",
        )


class Preflight:
    """`check_place` with a short memory, for a sensor that asks every few seconds."""

    def __init__(self, remembered_s: float = REMEMBERED_S) -> None:
        self._remembered_s = remembered_s
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, SquireError | None]] = {}

    def problem(self, agent: AgentSettings) -> SquireError | None:
        """Why the agent cannot start, or None; at most `remembered_s` old."""
        key = agent.model_dump_json()
        with self._lock:
            known = self._known.get(key)
            if known is not None and time.monotonic() - known[0] < self._remembered_s:
                return known[1]
            found: SquireError | None = None
            try:
                check_place(agent)
            except SquireError as error:
                found = error
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[key] = (time.monotonic(), found)
            return found
