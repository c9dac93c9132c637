"""The executor of `agent_run`'s steps: the run's own process, or a container of the pipeline's image for each.

This isolates our own code. Agents never run in a step: they run beside it, in containers of their own (`agents`).
"""

import math
import os
from pathlib import Path

import dagster as dg

from squire_pipelines.errors import ConfigError, EngineError
from squire_pipelines.settings import Settings

_SOCKET = Path("/var/run/docker.sock")
_ENGINE_TIMEOUT_S = 5.0
# Names only: values of secrets never enter a container's environment, they are read from the mounted home.
_PASSED_ON = ("SQUIRE_HOME", "SQUIRE_CONFIG", "SQUIRE_LEDGER_URL", "DAGSTER_HOME")
# Beyond an agent's own grace, for its bundle and the ledger.
_STOP_MARGIN_S = 15


def choose_executor(settings: Settings) -> dg.ExecutorDefinition:
    """Return the executor that `pipeline.executor` names; `auto` is docker where an engine and the image are there.

    Raises:
        ConfigError: As `check_executor`.
    """
    check_executor(settings)
    home, socket = os.environ.get("SQUIRE_HOME"), engine_socket()
    kind = settings.pipeline.executor
    if home is None or socket is None or kind == "in_process":
        return dg.in_process_executor
    if kind == "auto" and not _image_present(settings.pipeline.image, socket):
        return dg.in_process_executor
    from dagster_docker import docker_executor

    from squire_pipelines.agents import step_containers

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


def check_executor(settings: Settings) -> None:
    """Check that `pipeline.executor` can be had here.

    Raises:
        ConfigError: Docker is asked for without SQUIRE_HOME, which step containers mount at the same path, or with an
            engine that has no socket on this machine.
    """
    if settings.pipeline.executor != "docker":
        return
    if not os.environ.get("SQUIRE_HOME"):
        raise ConfigError(
            'pipeline.executor = "docker" needs SQUIRE_HOME to be set',
            hint="step containers mount it at the same path, so that folders keep their names",
        )
    if engine_socket() is None:
        raise ConfigError(
            f'pipeline.executor = "docker" needs an engine with a socket here, not {os.environ["DOCKER_HOST"]}',
            hint='set DOCKER_HOST to unix:///PATH, or pipeline.executor = "in_process"',
        )


def engine_socket() -> Path | None:
    """Return the socket of the engine that Dagster's executor uses (`DOCKER_HOST`, else Docker's default), or None."""
    host = os.environ.get("DOCKER_HOST") or f"unix://{_SOCKET}"
    return Path(host.removeprefix("unix://")) if host.startswith("unix://") else None


def passed_on() -> list[str]:
    """Return the variables that a step gets: where its home is, and settings. No secret has such a name."""
    sections = {name.upper() for name in Settings.model_fields}
    settings = [
        name
        for name in sorted(os.environ)
        if name.startswith("SQUIRE_") and "__" in name and name.removeprefix("SQUIRE_").partition("__")[0] in sections
    ]
    return [name for name in _PASSED_ON if os.environ.get(name)] + settings


def _image_present(image: str, socket: Path) -> bool:
    import requests
    from docker.errors import DockerException

    from squire_pipelines.agents import engine

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
