"""`squire config`: the settings as they are, where each comes from, and whether they hold."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from squire_pipelines.cli.context import CliContext, emit_json, json_option, pass_cli_context, table
from squire_pipelines.cli.lazy import LazyGroup, command
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.secrets.redact import Redactor
from squire_pipelines.settings import Settings

config = LazyGroup(name="config", help="Show and check the settings.")


def config_path(context: CliContext) -> Path:
    """The file that the settings are read from, whether it exists or not."""
    named = os.environ.get("SQUIRE_CONFIG")
    return context.config or (Path(named) if named else context.home.config_file)


def flatten(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The leaves of nested settings with their paths."""
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping) and (value or not path):
        for name, each in value.items():
            yield from flatten(each, (*path, str(name)))
    else:
        yield path, value


def source_of(path: tuple[str, ...], file: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """Where the value at `path` comes from: a variable's name, `file` or `default`."""
    names = {name.upper() for name in environment}
    for depth in range(len(path), 0, -1):
        variable = "SQUIRE_" + "__".join(path[:depth]).upper()
        if variable in names:
            return variable
    here: Any = file
    for part in path:
        if not isinstance(here, Mapping) or part not in here:
            return "default"
        here = here[part]
    return "file"


def _key(path: tuple[str, ...]) -> str:
    return ".".join(f'"{part}"' if "/" in part else part for part in path)


def _shown(value: Any, redactor: Redactor) -> Any:
    # No secret is a setting, but a URL may hold a password all the same.
    if isinstance(value, str):
        return redactor.redact(value)
    if isinstance(value, tuple | list):
        return [_shown(each, redactor) for each in value]
    return value


@command("show", examples=("squire config show", "squire config show --defaults", "squire config show --json"))
@click.option("--defaults", is_flag=True, help="The defaults, without file and environment.")
@json_option
@pass_cli_context
def show(context: CliContext, *, defaults: bool, as_json: bool) -> None:
    """Show every key with its value and where it comes from. Secrets are no settings and are never shown.

    A variable is named after its key: SQUIRE_DISPATCH__MAX_CONCURRENT is dispatch.max_concurrent.
    """
    file: dict[str, Any] = {}
    environment: Mapping[str, str] = {}
    if defaults:
        settings: Any = {
            name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()
        }
    else:
        settings = context.settings
        environment = os.environ
        if config_path(context).is_file():
            file = tomllib.loads(config_path(context).read_text(encoding="utf-8"))
    redactor = Redactor()
    rows = [
        (_key(path), _shown(value, redactor), source_of(path, file, environment)) for path, value in flatten(settings)
    ]
    if as_json:
        emit_json([{"key": key, "value": value, "from": source} for key, value, source in rows])
        return
    cells = [(key, "not set" if value is None else _text(value), source) for key, value, source in rows]
    context.console.print(table(("key", "value", "from"), cells, keep=("value",)))
    if not defaults:
        click.echo(
            f"file: {config_path(context)}" + ("" if config_path(context).is_file() else " (not there)"), err=True
        )


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value not in ("", {}) else "none"


@command("validate", examples=("squire config validate", "squire --config other.toml config validate"))
@pass_cli_context
def validate(context: CliContext) -> None:
    """Check the settings, each repository's own ones too. Opens nothing."""
    settings = context.settings
    for repository in settings.repository:
        settings.agent_for(repository)
        settings.policy_for(repository)
    Ledger(settings.resolved_ledger_url).close()
    path = config_path(context)
    click.echo(f"ok: {path if path.is_file() else 'the defaults and the environment'}")


@command("path", examples=('"$EDITOR" "$(squire config path)"', "squire config path --json"))
@json_option
@pass_cli_context
def path(context: CliContext, *, as_json: bool) -> None:
    """Print where the settings are read from; with --json, where everything lies."""
    if not as_json:
        click.echo(config_path(context))
        return
    home = context.home
    emit_json(
        {
            "config": config_path(context),
            "data": home.data,
            "state": home.state,
            "cache": home.cache,
            "warehouse": home.warehouse,
            "attempts": home.attempts,
            "mirrors": home.mirrors,
            "dagster": home.dagster,
            "run": home.run,
        }
    )


config.add_command(show)
config.add_command(validate)
config.add_command(path)
