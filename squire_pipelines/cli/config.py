"""`squire config`: the settings as they are, where each comes from, and whether they are valid."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import click
from pydantic import BaseModel

from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, table_of, with_context
from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.run import hand_on_config
from squire_pipelines.errors import ConfigError
from squire_pipelines.secrets.redact import Redactor
from squire_pipelines.settings import Settings
from squire_pipelines.terminal.output import write_line

config = LazyGroup(name="config", help="Show and check the settings.")


def flatten(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the leaves of nested settings with their paths."""
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping) and (value or not path):
        for name, member in value.items():
            yield from flatten(member, (*path, str(name)))
    else:
        yield path, value


def find_source(path: tuple[str, ...], file: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """Return where the value at `path` comes from: a variable's name, `file` or `default`."""
    names = {name.upper() for name in environment}
    for depth in range(len(path), 0, -1):
        variable = "SQUIRE_" + "__".join(path[:depth]).upper()
        if variable in names:
            return variable
    table: Any = file
    for part in path:
        if not isinstance(table, Mapping) or part not in table:
            return "default"
        table = table[part]
    return "file"


def _key(path: tuple[str, ...]) -> str:
    return ".".join(f'"{part}"' if "/" in part else part for part in path)


def _redacted(value: Any, redactor: Redactor) -> Any:
    # Secrets are not settings, but a URL may contain a password.
    if isinstance(value, str):
        return redactor.redact(value)
    if isinstance(value, tuple | list):
        return [_redacted(member, redactor) for member in value]
    return value


@config.command("show", examples=("squire config show", "squire config show --defaults", "squire config show --json"))
@click.option("--defaults", is_flag=True, help="Show the defaults, without file and environment.")
@json_option
@with_context
def show(context: CliContext, *, defaults: bool, as_json: bool) -> None:
    """Show every key with its value and where it comes from. Secrets are not settings and are never shown.

    A variable is named after its key: SQUIRE_DISPATCH__MAX_CONCURRENT sets dispatch.max_concurrent.
    """
    file: dict[str, Any] = {}
    environment: Mapping[str, str] = {}
    path = context.config_path
    if defaults:
        settings: Any = {
            name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()
        }
    else:
        settings, environment = context.settings, os.environ
        if path.is_file():
            file = tomllib.loads(path.read_text(encoding="utf-8"))
    redactor = Redactor()
    rows = [
        {"key": _key(keys), "value": _redacted(value, redactor), "from": find_source(keys, file, environment)}
        for keys, value in flatten(settings)
    ]
    if as_json:
        emit_json(rows)
        return
    columns: Columns = {"key": "key", "value": lambda row: _text(row["value"]), "from": "from"}
    context.console.print(table_of(rows, columns, keep=("value",)))
    if not defaults:
        write_line(f"file: {path}{'' if path.is_file() else ' (does not exist)'}", err=True)


def _text(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value not in ("", {}) else "none"


@config.command("validate", examples=("squire config validate", "squire --config other.toml config validate"))
@with_context
def validate(context: CliContext) -> None:
    """Check the settings, with those of each repository. Opens nothing."""
    from squire_pipelines.execution.step_executor import check_settings  # noqa: PLC0415 - Docker's client

    hand_on_config(context)  # as `run` and `dev` do, whose step containers read the file
    if context.settings.pipeline.executor == "docker":
        check_settings(context.settings)
    path = context.config_path
    write_line(f"ok: {path if path.is_file() else 'the defaults and the environment'}")


@config.command("path", examples=('"$EDITOR" "$(squire config path)"', "squire config path --json"))
@json_option
@with_context
def path(context: CliContext, *, as_json: bool) -> None:
    """Print where the settings are read from; with --json, where all of Squire's files are.

    `ledger` is null when it is in a database server, or when the settings cannot be used.
    """
    if not as_json:
        write_line(context.config_path)
        return
    names = (
        "data",
        "state",
        "cache",
        "archive",
        "answers",
        "attempts",
        "dagster",
        "mirrors",
        "report",
        "run",
        "secrets",
        "warehouse",
        "warm",
    )
    try:
        ledger = context.settings.ledger_file
    except ConfigError:
        ledger = None  # the other places hold whatever the settings say
    places = {name: getattr(context.home, name) for name in names}
    emit_json({"config": context.config_path, "ledger": ledger, **places})
