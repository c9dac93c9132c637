"""`squire config`: the settings as they are, where each comes from, and whether they are valid."""

from pathlib import Path
from typing import Any

import click

from squire_pipelines.cli.aliases import run_new
from squire_pipelines.cli.config_check import check_usable, read_alone, refuse_hidden
from squire_pipelines.cli.config_values import (
    SettingRow,
    default_values,
    flatten,
    rows_in_effect,
    shown,
    value_text,
)
from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, with_context
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import Lazy, LazyGroup
from squire_pipelines.cli.old_names import new_config_line
from squire_pipelines.cli.parameters import REPOSITORY, SETTING_KEY
from squire_pipelines.cli.run import hand_on_config
from squire_pipelines.errors import ConfigError
from squire_pipelines.settings.file import SettingsFile, read_settings_file, toml_text
from squire_pipelines.settings.keys import parse_key
from squire_pipelines.settings.model import Settings
from squire_pipelines.terminal.output import write_line


class _ConfigGroup(LazyGroup):
    """The group, which also takes what the old product's command took: KEY [VALUE], --list, --path and nothing."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words; those of an old line are run as the new one. Raises UsageError."""
        line = None if ctx.resilient_parsing else new_config_line(args)
        if line is not None:
            run_new("config", line)
        return super().parse_args(ctx, args)


config = _ConfigGroup(
    name="config",
    help="Show, check and change the settings.",
    lazy={
        "set": Lazy("squire_pipelines.cli.config_change:set_value", "Set one setting in the file, or take it out."),
        "reload": Lazy(
            "squire_pipelines.cli.config_reload:reload_settings", "Have the running processes take the file."
        ),
        "edit": Lazy("squire_pipelines.cli.config_change:edit", "Open the file in an editor, and write what is valid."),
    },
)


@config.command(
    "show",
    examples=(
        "squire config show",
        "squire config show --origin",
        "squire config show --defaults --json",
        "squire config show --repository acme/shop --origin",
    ),
)
@click.option("--repository", type=REPOSITORY, help="Show what holds in one repository, with its own file as read.")
@click.option("--defaults", is_flag=True, help="Show the defaults, without file and environment.")
@click.option("--origin", is_flag=True, help="Show the file's line of each key that the file has.")
@json_option
@with_context
def show(context: CliContext, *, repository: str | None, defaults: bool, origin: bool, as_json: bool) -> None:
    """Show every key with its value and where it comes from. Secrets are not settings and are never shown.

    A variable is named after its key: SQUIRE_DISPATCH__MAX_CONCURRENT sets dispatch.max_concurrent. Of the URL that
    alerts go to, only the host is shown. A model that an agent gets by default stands where its own would.
    """
    path, note = context.config_path, ""
    if repository is not None:
        from squire_pipelines.cli.repository_file import rows_of_repository  # noqa: PLC0415 - seldom needed

        rows, note = rows_of_repository(context, read_settings_file(path), repository)
    elif defaults:
        rows = [SettingRow(keys, shown(keys, value), "default") for keys, value in flatten(default_values())]
    else:
        rows = rows_in_effect(_settings(context), read_settings_file(path))
    if as_json:
        emit_json([_as_json(row, with_line=origin) for row in rows])
        return
    columns: Columns = {
        "key": "key",
        "value": lambda row: value_text(row.value),
        "from": lambda row: f"{row.origin}, line {row.line}" if origin and row.line is not None else row.origin,
    }
    context.write_rows(rows, columns, keep=("value",), wrap=("value",))
    if note:
        write_line(note, err=True)
    if not defaults:
        write_line(f"file: {path}{'' if path.is_file() else ' (does not exist)'}", err=True)
        _tell_what_holds(context)


def _settings(context: CliContext) -> Settings:
    """Return the settings. Raises ConfigError, after telling what the running processes go on with."""
    try:
        return context.settings
    except ConfigError:
        _tell_what_holds(context)
        raise


def _tell_what_holds(context: CliContext) -> None:
    from squire_pipelines.cli.config_reload import tell_what_holds  # noqa: PLC0415 - the other commands tell nothing

    tell_what_holds(context)


def _as_json(row: SettingRow, *, with_line: bool) -> dict[str, Any]:
    values = {"key": row.key, "value": row.value, "from": row.origin}
    return values | {"line": row.line} if with_line else values


@config.command("get", examples=("squire config get dispatch.max_concurrent", "squire config get agent.limits --json"))
@click.argument("key", type=SETTING_KEY)
@json_option
@with_context
def get(context: CliContext, key: str, *, as_json: bool) -> None:
    """Print the value in effect of one key, or those of a table; nothing where it is not set.

    A list is printed a line for each member. What `show` hides is hidden here too.
    """
    path = parse_key(key, Settings)
    rows = rows_in_effect(context.settings, read_settings_file(context.config_path))
    value: Any = _nested(rows)
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = None
    if as_json:
        emit_json(value)
    elif isinstance(value, dict):
        for name, member in flatten(value):
            if member is not None:
                write_line(f"{'.'.join(name)} = {toml_text(member)}")
    elif isinstance(value, list):
        for member in value:
            write_line(toml_text(member) if isinstance(member, dict) else member)
    else:
        write_line("" if value is None else str(value).lower() if isinstance(value, bool) else value)


def _nested(rows: list[SettingRow]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for row in rows:
        table = values
        for part in row.path[:-1]:
            table = table.setdefault(part, {})
        table[row.path[-1]] = row.value
    return values


@config.command("diff", examples=("squire config diff", "squire config diff other.toml", "squire config diff --json"))
@click.argument("other", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@with_context
def diff(context: CliContext, other: Path | None, *, as_json: bool) -> None:
    """Show what the file sets otherwise than the defaults do, or than another file does. Variables do not count."""
    first = read_alone(read_settings_file(context.config_path))
    second: Any = read_alone(read_settings_file(other)) if other else default_values()
    of_file, of_other = dict(flatten(first)), dict(flatten(second))
    names = ("file", "other" if other else "default")
    rows = [
        {
            "key": SettingRow(path, None, "").key,
            names[1]: shown(path, of_other.get(path)),
            names[0]: shown(path, of_file.get(path)),
        }
        for path in dict.fromkeys((*of_file, *of_other))
        if (of_file.get(path) or None, of_other.get(path) or None) != (None, None)
        and of_file.get(path) != of_other.get(path)
    ]
    columns: Columns = {
        "key": "key",
        names[1]: lambda row: value_text(row[names[1]]),
        names[0]: lambda row: value_text(row[names[0]]),
    }
    empty = f"{context.config_path} sets nothing otherwise"
    context.write_list(rows, columns, as_json=as_json, empty=empty, wrap=names)


@config.command(
    "validate",
    examples=(
        "squire config validate",
        "squire --config other.toml config validate",
        "squire config validate --repository-file .github/squire.toml",
        "squire config validate --repository acme/shop",
    ),
)
@click.option(
    "--repository", type=REPOSITORY, help="Read a repository's own file from GitHub with all it extends, and check it."
)
@click.option(
    "--repository-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Check this file as a repository's own; asks nobody and needs no settings.",
)
@with_context
def validate(context: CliContext, *, repository: str | None, repository_file: Path | None) -> None:
    """Check the settings, with those of each repository and of each agent, and the planner's own prompt files.

    The exit code is 3 when they cannot be used; the message has the key, its line in the file and what to do. Files
    that the old product left are told, with the command that takes them over.
    """
    if repository_file is not None:
        from squire_pipelines.cli.repository_file import check_local_file  # noqa: PLC0415 - seldom needed

        check_local_file(repository_file)
        return
    if repository is not None:
        from squire_pipelines.cli.repository_file import check_repositorys_file  # noqa: PLC0415 - likewise

        check_repositorys_file(context, repository)
        return
    path = context.config_path
    try:
        hand_on_config(context)  # as `run` and `dev` do, whose step containers read the file
        file = read_settings_file(path)
        settings = context.settings
        refuse_hidden(file)
        check_usable(settings, file)
        if settings.planner.prompts is not None:
            from squire_pipelines.planning.prompt_files import load_prompts, load_proposal_prompt  # noqa: PLC0415 - seldom there

            load_prompts(settings.planner.prompts)
            load_proposal_prompt(settings.planner.prompts)
    except ConfigError:
        # Also what is wrong may be for a move from the old product that was not made; no plan fits a wrong file.
        _tell_leftovers(context, SettingsFile(path, exists=False))
        raise
    write_line(f"ok: {path if path.is_file() else 'the defaults and the environment'}")
    _tell_unpriced(settings)
    _tell_misnamed(context)
    _tell_leftovers(context, file)


def _tell_misnamed(context: CliContext) -> None:
    from squire_pipelines.cli.doctor.stores import misnamed_settings  # noqa: PLC0415 - other commands start sooner

    for line in misnamed_settings(context):
        note(f"{line.message}: {line.next_step}")


def _tell_unpriced(settings: Settings) -> None:
    from squire_pipelines.execution.price_checks import unpriced_models  # noqa: PLC0415 - the price library takes a while

    for model in unpriced_models(settings):
        note(f"{model}; {model.hint}")


def _tell_leftovers(context: CliContext, file: SettingsFile) -> None:
    from squire_pipelines.migration.leftovers import find_leftovers  # noqa: PLC0415 - other commands start sooner

    for leftover in find_leftovers(context.home, Path.cwd(), file):
        note(f"{leftover.message}: {leftover.step}")


@config.command(
    "schema",
    examples=(
        "squire config schema > config.schema.json",
        "squire config schema --repository-file > .github/squire.schema.json",
    ),
)
@click.option("--repository-file", is_flag=True, help="Of a repository's own file, .github/squire.toml.")
def schema(*, repository_file: bool) -> None:
    """Print a JSON Schema of the file, by which editors complete and check its keys.

    `squire init` writes it beside the file, whose first line (`#:schema ./config.schema.json`) names it; after an
    update of Squire this command writes the new one.
    """
    if repository_file:
        from squire_pipelines.repository_files.json_schema import repository_schema  # noqa: PLC0415 - only here

        emit_json(repository_schema())
        return
    from squire_pipelines.settings.json_schema import settings_schema  # noqa: PLC0415 - likewise

    emit_json(settings_schema())


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
        "backups",
        "dagster",
        "debug_file",
        "metrics",
        "migrations",
        "mirrors",
        "reload_request",
        "report",
        "run",
        "secret_store",
        "secrets",
        "settings_state",
        "setups",
        "stored_files",
        "task_templates",
        "warehouse",
        "warm",
    )
    try:
        ledger = context.settings.ledger_file
    except ConfigError:
        ledger = None  # the other places hold whatever the settings say
    places = {name: getattr(context.home, name) for name in names}
    emit_json({"config": context.config_path, "ledger": ledger, **places})
