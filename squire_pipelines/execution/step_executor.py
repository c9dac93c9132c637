"""Checks whether steps of our own code can run in containers here: by the settings, the environment and the engine.

Free of Dagster, so that it is asked before Dagster starts. The executor itself is `jobs.executors`.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from squire_pipelines.agents import engine
from squire_pipelines.errors import ConfigError, ImageMissingError
from squire_pipelines.file_store.opening import folder_of
from squire_pipelines.home import named_config
from squire_pipelines.secrets.key_file import KEY_VARIABLE, key_file
from squire_pipelines.secrets.passphrase import FILE_VARIABLE, MOUNTED_NAME, MOUNTS, passphrase_file
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.settings.model import Settings

SOCKET = Path("/var/run/docker.sock")
IN_STEP = "SQUIRE_STEP_CONTAINER"
"""The variable by which a process knows that it runs in a step's container, which has the engine's socket."""
_ENGINE_TIMEOUT_S = 5.0


def check_executor(settings: Settings) -> None:
    """Check that `pipeline.executor` can be had here. Raises what `check_settings` and `check_image` do."""
    if settings.pipeline.executor == "docker":
        check_image(settings.pipeline.image, check_settings(settings))


def check_settings(settings: Settings) -> Path:
    """Check what step containers need of the settings and the environment; return the engine's socket.

    Raises:
        ConfigError: There is no SQUIRE_HOME, which they mount at the same path; something that they read lies
            elsewhere; the engine has no socket on this machine; or an agent would run in a step's container.
    """
    asked = f'pipeline.executor = "{settings.pipeline.executor}"'
    if not os.environ.get("SQUIRE_HOME"):
        raise ConfigError(
            f"{asked} needs SQUIRE_HOME to be set",
            hint="step containers mount it at the same path, so that folders keep their names",
        )
    for name, path in _read_by_steps(settings):
        if not Path(os.path.abspath(path)).is_relative_to(settings.home.state):  # noqa: PTH100 - for a `..` in it
            raise ConfigError(
                f"{asked}: {name} = {path} is not in SQUIRE_HOME, and step containers see nothing else of this machine",
                hint=f'move it into {settings.home.state}, or set pipeline.executor = "in_process"',
            )
    socket = engine_socket()
    if socket is None:
        raise ConfigError(
            f"{asked} needs an engine with a socket here, not {os.environ['DOCKER_HOST']}",
            hint='set DOCKER_HOST to unix:///PATH, or pipeline.executor = "in_process"',
        )
    for agent in _agents(settings):
        _refuse_runner(agent)
    return socket


def shared_folders(settings: Settings) -> tuple[Path, ...]:
    """Return what steps see beside the home: the store of files, where it is a folder and is there.

    The engine would make one that is missing, such as that of a file system that is not mounted.
    """
    folder = folder_of(settings.files.url) if settings.files.url else None
    return (folder,) if folder is not None and folder.is_dir() else ()


def agent_beside_step(agent: AgentSettings) -> AgentSettings:
    """Return an agent's settings as they hold where this runs: beside a step's container it has its own, or none.

    What `auto` becomes without an engine, a process of the step, would have the socket of the engine.

    Raises:
        ConfigError: This is a step's container, and the settings ask for a runner that it cannot have.
    """
    if not os.environ.get(IN_STEP):
        return agent
    _refuse_runner(agent)
    return agent.model_copy(update={"runner": "docker"})


def _refuse_runner(agent: AgentSettings) -> None:
    if agent.runner == "kubernetes":
        raise ConfigError(
            "agent.runner = \"kubernetes\" has the run beside its agent's door, and not in a step's container",
            hint='set pipeline.executor = "in_process"',
        )
    if agent.runner == "local":
        raise ConfigError(
            "agent.runner = \"local\" would run the agent in a step's container, which has the engine's socket",
            hint='set pipeline.executor = "in_process", or agent.runner = "docker"',
        )


def _agents(settings: Settings) -> tuple[AgentSettings, ...]:
    names = ("", *settings.repository)
    return tuple(settings.agent_for(name, choice) for name in names for choice in settings.possible_choices(name))


def _read_by_steps(settings: Settings) -> Iterator[tuple[str, Path]]:
    if (config := named_config()) is not None:
        yield "SQUIRE_CONFIG", config
    if settings.ledger_file is not None:
        yield "ledger_url", settings.ledger_file
    for agent in _agents(settings):
        yield from (("agent.skills", folder) for folder in agent.skills)
        if agent.seccomp is not None:
            yield "agent.seccomp", agent.seccomp


def check_image(image: str, socket: Path) -> None:
    """Check that the engine at `socket` answers and has the image of step containers.

    Raises:
        EngineError: It does not answer.
        ImageMissingError: It has no such image.
    """
    with contextlib.closing(engine.connect(_ENGINE_TIMEOUT_S, hosts=(f"unix://{socket}",))) as client:
        try:
            engine.image_attributes(client, image)
        except ImageMissingError as error:
            raise ImageMissingError(
                f"pipeline.image: {error.message}",
                hint='run `scripts/images.sh pipeline`, or set pipeline.executor = "in_process"',
                context=error.context,
            ) from error


def key_of_secrets() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the variables and the volumes by which a step opens the encrypted file of secrets.

    What is mounted is the file in memory with its key, else the file with its passphrase that this machine has.
    """
    if (key := key_file()) is not None:
        target = MOUNTS / "squire-store-key"
        return (f"{KEY_VARIABLE}={target}",), (f"{key}:{target}:ro",)
    if (file := passphrase_file()) is not None and file.is_file():
        target = MOUNTS / MOUNTED_NAME
        return (f"{FILE_VARIABLE}={target}",), (f"{file.resolve()}:{target}:ro",)
    return (), ()


def engine_socket() -> Path | None:
    """Return the socket of the engine that Dagster's executor uses (`DOCKER_HOST`, else Docker's default), or None."""
    host = os.environ.get("DOCKER_HOST") or f"unix://{SOCKET}"
    return Path(host.removeprefix("unix://")) if host.startswith("unix://") else None
