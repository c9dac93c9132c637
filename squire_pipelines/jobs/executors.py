"""On what `agent_run`'s steps run: in the run's own process, or each in a container of the pipeline's image.

This isolates our own code. Agents never run in a step: they run beside, in containers of their own (`agents`).
"""

import os
from pathlib import Path

import dagster as dg
import requests
from dagster_docker import docker_executor
from docker.errors import DockerException

from squire_pipelines.agents import engine, steps
from squire_pipelines.errors import ConfigError, EngineError
from squire_pipelines.settings import Settings

_SOCKET = Path("/var/run/docker.sock")
_ENGINE_TIMEOUT_S = 5.0
# Names only: values of secrets never enter a container's environment, they are read from the mounted home.
_PASSED_ON = ("SQUIRE_HOME", "SQUIRE_CONFIG", "SQUIRE_LEDGER_URL", "DAGSTER_HOME")


def choose_executor(settings: Settings) -> dg.ExecutorDefinition:
    """The executor that `pipeline.executor` names; `auto` is docker where an engine and the image are there.

    Raises:
        ConfigError: Docker is asked for without SQUIRE_HOME, which step containers mount at the same path.
    """
    wanted = settings.pipeline.executor
    home = os.environ.get("SQUIRE_HOME")
    if wanted == "auto":
        wanted = "docker" if home and _image_present(settings.pipeline.image) else "in_process"
    if wanted == "in_process":
        return dg.in_process_executor
    if home is None:
        message = 'pipeline.executor = "docker" needs SQUIRE_HOME to be set'
        raise ConfigError(message, hint="step containers mount it at the same path, so that folders keep their names")
    limits = settings.pipeline.step_limits
    return docker_executor.configured(
        {
            "image": settings.pipeline.image,
            "env_vars": [name for name in _PASSED_ON if os.environ.get(name)],
            "container_kwargs": {
                "volumes": [f"{home}:{home}", f"{_SOCKET}:{_SOCKET}"],
                "network_mode": settings.pipeline.network,
                "mem_limit": limits.memory,
                "memswap_limit": limits.memory,
                "nano_cpus": int(limits.cpus * 1e9),
                "pids_limit": limits.pids,
                "cap_drop": ["ALL"],
                # The host's user, so that files in the home belong to it, and the socket's group.
                "user": f"{os.getuid()}:{os.getgid()}",
                "group_add": [str(_SOCKET.stat().st_gid)] if _SOCKET.exists() else [],
                "security_opt": ["no-new-privileges"],
                "init": True,
                "labels": steps.labels(settings.home.state),
            },
        }
    )


def _image_present(image: str) -> bool:
    try:
        client = engine.connect(_ENGINE_TIMEOUT_S)
    except EngineError:
        return False
    try:
        client.images.get(image)
    except (DockerException, requests.RequestException):
        return False
    finally:
        client.close()
    return True
