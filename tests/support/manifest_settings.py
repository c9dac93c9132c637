"""What the manifests say to Squire: the settings in their ConfigMap, and the variables and commands of containers."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import click

from squire_pipelines.cli.main import cli
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.settings.keys import leaf_paths
from squire_pipelines.settings.model import Settings, load_settings
from squire_pipelines.settings.variables import variable_of
from tests.support.manifest_rules import workloads
from tests.support.manifests import Object, containers_of, key_of

OWN_VARIABLES = {"SQUIRE_CONFIG", "SQUIRE_HOME"}
OTHERS = {"HOME", "PGPASSFILE", "PGDATA", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD_FILE"}


def config_of(objects: Sequence[Object]) -> str:
    """Return the text of `config.toml` in the ConfigMap."""
    (config,) = [item for item in objects if item["kind"] == "ConfigMap"]
    return str(config["data"]["config.toml"])


def settings_of(objects: Sequence[Object]) -> Settings:
    """Return the settings of all pods. Raises ConfigError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.toml")
        path.write_text(_known_part(config_of(objects)), encoding="utf-8")
        return load_settings(path)


def _known_part(text: str) -> str:
    """Return the settings without the runner of agents, while this Squire has none for Kubernetes."""
    runners = get_args(AgentSettings.model_fields["runner"].annotation)
    return text if "kubernetes" in runners else text.replace('runner = "kubernetes"\n', "")


def unknown_variables(objects: list[Object]) -> Iterator[str]:
    """Each variable of a container is a setting's, or one that Squire or the image reads."""
    known = {variable_of(path) for path in leaf_paths(Settings)} | OWN_VARIABLES | OTHERS
    for item in workloads(objects):
        for container in containers_of(item):
            for variable in container.get("env", ()):
                if variable["name"] not in known:
                    yield f"{key_of(item)[2]} has the variable {variable['name']}"


def wrong_commands(objects: list[Object]) -> Iterator[str]:
    """Each command line of `squire` is one that the command takes."""
    for item in workloads(objects):
        for container in containers_of(item):
            words = container.get("args", ())
            if container["image"].rpartition("/")[2].startswith("squire-pipeline:") and "command" not in container:
                if words[:1] != ["squire"]:
                    yield f"{key_of(item)[2]} runs {words}"
                elif reason := why_not_taken(words[1:]):
                    yield f"{key_of(item)[2]} runs {words}: {reason}"


def why_not_taken(words: Sequence[str]) -> str | None:
    """Return why `squire` does not take a command line, or None. Nothing is run."""
    command: click.Command = cli
    remaining, context = list(words), None
    try:
        while True:
            context = command.make_context(command.name, list(remaining), parent=context)
            if not isinstance(command, click.Group):
                return None
            _, inner, remaining = command.resolve_command(context, [*context._protected_args, *context.args])
            if inner is None:
                return f"{remaining} is no command"
            command = inner
    except click.ClickException as error:
        return error.format_message()
    except click.exceptions.Exit:
        return "it shows its help"
