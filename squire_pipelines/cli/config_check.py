"""Checks settings as a whole: what reading them finds, and what else an attempt would find before it starts."""

from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from squire_pipelines.errors import ConfigError, SettingError
from squire_pipelines.execution.agent_checks import check_agents
from squire_pipelines.planning.goal_files import read_goals
from squire_pipelines.settings.errors import config_error, in_file, refuse_parameters, variable_at
from squire_pipelines.settings.file import SettingsFile, key_text, parse_settings
from squire_pipelines.settings.goal_paths import with_goal_paths
from squire_pipelines.settings.goals import all_goals
from squire_pipelines.settings.model import Settings, settings_of


def check_usable(settings: Settings, file: SettingsFile) -> None:
    """Check that each agent can start with the settings, and step containers where they are asked for; read the goals.

    No engine, no provider and no GitHub is asked; `squire doctor` asks them.

    Args:
        settings: As they were read.
        file: From which; errors have its line.

    Raises:
        ConfigError: They cannot be used.
    """
    try:
        check_agents(settings)
        for goals in all_goals(settings):
            read_goals(goals)
        if settings.pipeline.executor == "docker":
            from squire_pipelines.execution.step_executor import check_settings  # noqa: PLC0415 - Docker's client

            check_settings(settings)
    except ConfigError as error:
        raise in_file(error, file) from error


def check_text(path: Path, text: str) -> None:
    """Check a text as the settings' file at `path`, with the environment and without. Raises ConfigError."""
    file = parse_settings(path, text)
    settings_of(file)
    refuse_hidden(file)


def refuse_hidden(file: SettingsFile) -> None:
    """Refuse a wrong value in a file that a variable hides: other processes may not have the variable.

    What the file lacks because a variable sets it is no error.

    Args:
        file: That is valid with the environment.

    Raises:
        SettingError: A value is wrong.
    """
    try:
        _settings_of_file(file)
    except ValidationError as error:
        for details in error.errors():
            path = tuple(details["loc"])
            variable = variable_at(path)
            if variable is None or details["type"] == "missing":
                continue
            line = file.line_of(path)
            where = str(file.path) if line is None else f"{file.path}, line {line}"
            raise SettingError(
                f"{where}: {key_text(path)}: {details['msg'].removeprefix('Value error, ')}; the variable {variable} "
                "hides this value only where it is set",
                hint=f"change it, as with `squire config set {key_text(path)} VALUE`, or remove it",
            ) from error


def what_is_missing(path: Path, text: str) -> ConfigError | None:
    """Return what valid settings still lack before an agent can start, which a further change may bring."""
    file = parse_settings(path, text)
    try:
        check_usable(settings_of(file), file)
    except ConfigError as error:
        return error
    return None


def read_alone(file: SettingsFile) -> Settings:
    """Return the settings that a file makes without the environment. Raises ConfigError."""
    refuse_parameters(file)
    try:
        return _settings_of_file(file)
    except ValidationError as error:
        raise in_file(config_error(Settings, error), file) from error


def _settings_of_file(file: SettingsFile) -> Settings:
    class SettingsOfFile(Settings):
        """Settings that no variable changes."""

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings,)

    return SettingsOfFile(**with_goal_paths(file.values, file.folder))
