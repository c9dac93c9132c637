"""On what `agent_run`'s steps run: in the run's own process, or each in a container of the pipeline's image.

This isolates our own code. Agents never run in a step: they run beside, in containers of their own (`agents`).
"""

import math
import os
from pathlib import Path

import dagster as dg
import requests
from dagster_docker import docker_executor
from docker.errors import DockerException

from squire_pipelines.agents import engine, step_containers
from squire_pipelines.errors import ConfigError, EngineError
from squire_pipelines.settings import Settings

_SOCKET = Path("/var/run/docker.sock")
_ENGINE_TIMEOUT_S = 5.0
# Names only: values of secrets never enter a container's environment, they are read from the mounted home.
_PASSED_ON = ("SQUIRE_HOME", "SQUIRE_CONFIG", "SQUIRE_LEDGER_URL", "DAGSTER_HOME")
# Beyond an agent's own grace, for its bundle and the ledger.
_STOP_MARGIN_S = 15


def choose_executor(settings: Settings) -> dg.ExecutorDefinition:
    """The executor that `pipeline.executor` names; `auto` is docker where an engine and the image are there.

    Raises:
        ConfigError: Docker is asked for without SQUIRE_HOME, which step containers mount at the same path, or with an
            engine that has no socket on this machine.
    """
    wanted = settings.pipeline.executor
    home = os.environ.get("SQUIRE_HOME")
    socket = engine_socket()
    if wanted == "auto":
        there = home is not None and socket is not None and _image_present(settings.pipeline.image, socket)
        wanted = "docker" if there else "in_process"
    if wanted == "in_process":
        return dg.in_process_executor
    if home is None:
        raise ConfigError(
            'pipeline.executor = "docker" needs SQUIRE_HOME to be set',
            hint="step containers mount it at the same path, so that folders keep their names",
        )
    if socket is None:
        raise ConfigError(
            f'pipeline.executor = "docker" needs an engine with a socket here, not {os.environ["DOCKER_HOST"]}',
            hint='set DOCKER_HOST to unix:///PATH, or pipeline.executor = "in_process"',
        )
    limits = settings.pipeline.step_limits
    return docker_executor.configured(
        {
            "image": settings.pipeline.image,
            "env_vars": passed_on(),
            "container_kwargs": {
                "volumes": [f"{home}:{home}", f"{socket}:{_SOCKET}"],
                "network_mode": settings.pipeline.network,
                "mem_limit": limits.memory,
                "memswap_limit": limits.memory,
                "nano_cpus": int(limits.cpus * 1e9),
                "pids_limit": limits.pids,
                "cap_drop": ["ALL"],
                # The host's user, so that files in the home belong to it, and the socket's group.
                "user": f"{os.getuid()}:{os.getgid()}",
                "group_add": [str(socket.stat().st_gid)] if socket.exists() else [],
                "security_opt": ["no-new-privileges"],
                "init": True,
                # Taken out by the executor, which gives a step so long to end when its run is cancelled.
                "stop_timeout": math.ceil(settings.agent.limits.grace_s) + _STOP_MARGIN_S,
                "log_config": {"type": "json-file", "config": {"max-size": "10m", "max-file": "2"}},
                "labels": step_containers.labels(settings.home.state),
            },
        }
    )


def engine_socket() -> Path | None:
    """The socket of the engine that Dagster's executor uses: `DOCKER_HOST`, else Docker's default; None for another."""
    host = os.environ.get("DOCKER_HOST") or f"unix://{_SOCKET}"
    return Path(host.removeprefix("unix://")) if host.startswith("unix://") else None


def passed_on() -> list[str]:
    """The variables that a step gets: where its home is, and settings. No secret is among them by its form."""
    sections = {name.upper() for name in Settings.model_fields}
    settings = [
        name
        for name in sorted(os.environ)
        if name.startswith("SQUIRE_") and "__" in name and name.removeprefix("SQUIRE_").partition("__")[0] in sections
    ]
    return [name for name in _PASSED_ON if os.environ.get(name)] + settings


def _image_present(image: str, socket: Path) -> bool:
    try:
        client = engine.connect(_ENGINE_TIMEOUT_S, hosts=(f"unix://{socket}",))
    except EngineError:
        return False
    try:
        client.images.get(image)
    except (DockerException, requests.RequestException):
        return False
    finally:
        client.close()
    return True
