"""The executor of `agent_run`'s steps: the run's own process, or a container of the pipeline's image for each.

This isolates our own code. Agents never run in a step's container: they run beside it, in containers of their own
(`agents`), which `step_executor.agent_beside_step` holds.
"""

import math
import os

import dagster as dg

from squire_pipelines.errors import ConfigError, EngineError, ImageMissingError
from squire_pipelines.home import path_in
from squire_pipelines.settings.dagster_storage import VARIABLE
from squire_pipelines.settings.model import Settings

# Beyond an agent's own grace, for its bundle and the ledger.
_STOP_MARGIN_S = 15


def choose_executor(settings: Settings) -> dg.ExecutorDefinition:
    """Return the executor that `pipeline.executor` names; `auto` is docker where step containers can run.

    Raises:
        ConfigError: As `step_executor.check_settings`.
    """
    kind = settings.pipeline.executor
    if kind == "in_process":
        return dg.in_process_executor
    from squire_pipelines.execution import step_executor

    try:
        socket = step_executor.check_settings(settings)
        if kind == "auto":
            step_executor.check_image(settings.pipeline.image, socket)
    except (ConfigError, EngineError, ImageMissingError):
        if kind == "docker":
            raise
        return dg.in_process_executor
    from dagster_docker import docker_executor

    from squire_pipelines.agents import step_containers

    home = settings.home.state  # that of SQUIRE_HOME, from the root
    folders = [f"{folder}:{folder}" for folder in (home, *step_executor.shared_folders(settings))]
    limits = settings.pipeline.step_limits
    key_variables, key_volumes = step_executor.key_of_secrets()
    return docker_executor.configured(
        {
            "image": settings.pipeline.image,
            "env_vars": [f"{step_executor.IN_STEP}=1", *passed_on(), *key_variables],
            "container_kwargs": {
                "volumes": [*folders, f"{socket}:{step_executor.SOCKET}", *key_volumes],
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
                "labels": step_containers.labels(home),
            },
        }
    )


def passed_on() -> list[str]:
    """Return the variables that a step gets: where its home is, and settings. No secret has such a name.

    Values stand only where the step needs another: paths from the root, since it runs in another folder.
    """
    paths = [f"{name}={path}" for name in ("SQUIRE_HOME", "SQUIRE_CONFIG") if (path := path_in(name)) is not None]
    sections = {name.upper() for name in Settings.model_fields}
    settings = [
        name
        for name in sorted(os.environ)
        if name.startswith("SQUIRE_") and "__" in name and name.removeprefix("SQUIRE_").partition("__")[0] in sections
    ]
    return paths + [name for name in ("SQUIRE_LEDGER_URL", VARIABLE, "DAGSTER_HOME") if os.environ.get(name)] + settings
