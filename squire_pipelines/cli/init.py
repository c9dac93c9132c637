"""`squire init`: a commented config.toml with every setting, made from the settings' own classes."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from squire_pipelines.agent_names import WITH_IMAGE
from squire_pipelines.agent_names import known as known_agent
from squire_pipelines.cli.app_options import AppOptions, app_options
from squire_pipelines.cli.context import CliContext, with_context
from squire_pipelines.cli.init_app import set_up_app
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import REPOSITORY, ParsedType
from squire_pipelines.cli.person import piped_answer
from squire_pipelines.domain.identity import parse_repository
from squire_pipelines.errors import ConfigError
from squire_pipelines.files import open_atomically, write_atomically
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.home import make_folder
from squire_pipelines.settings.default_models import default_model
from squire_pipelines.settings.edits import settings_locked
from squire_pipelines.settings.file import toml_text
from squire_pipelines.settings.json_schema import default_text, settings_schema
from squire_pipelines.settings.model import Settings
from squire_pipelines.terminal.output import ask, write_line

MAX_ASKED = 100
_HEAD = """\
#:schema ./{schema}
# Squire's settings. A line that begins with "# " shows a default: remove the sign to change it.
# Each key can also be set by a variable: SQUIRE_DISPATCH__MAX_CONCURRENT sets max_concurrent in [dispatch].
# `squire config show` shows the settings in effect, `squire config validate` checks this file.
#
# Secrets do not belong here. `squire secrets set github-token` keeps one in the system's keychain, or where there is
# none in an encrypted file beside this one. They are also looked for in the environment (SQUIRE_GITHUB_TOKEN,
# SQUIRE_WEBHOOK_SECRET, SQUIRE_MODEL_KEY, SQUIRE_CLAUDE_KEY for [providers.claude]) and in mounted files.
"""
_TAIL = """\
# Settings of one repository; the sections above apply to everything that is not set here.
# [repository."owner/name"]
# issue_labels = ["squire"]
# [repository."owner/name".agent]
# kind = "command"
# command = ["./scripts/fix.sh"]
# [repository."owner/name".policy]
# max_files = 20
# A provider of models; `agent.provider` and `planner.provider` name one, and its key is the secret claude-key.
# [providers.claude]
# protocol = "anthropic"
"""


def _remark(field: FieldInfo) -> str:
    parts = [field.description or ""]
    if get_origin(field.annotation) is Literal:
        parts.append("one of " + ", ".join(map(str, get_args(field.annotation))))
    text = "; ".join(part for part in parts if part)
    return f"  # {text}" if text else ""


def _section(name: str, section: type[BaseModel], values: Mapping[str, str]) -> Iterator[str]:
    for line in (section.__doc__ or "").strip().splitlines()[:1]:
        yield f"# {line}"
    yield f"[{name}]"
    nested: list[tuple[str, type[BaseModel]]] = []
    for key, field in section.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            nested.append((f"{name}.{key}", type(default)))
        elif f"{name}.{key}" in values:
            yield f"{key} = {toml_text(values[f'{name}.{key}'])}{_remark(field)}"
        elif default is None:
            is_number = not {int, float}.isdisjoint(get_args(field.annotation))  # a size is annotated, and is text
            value = "…" if is_number else '"…"'
            yield f"# {key} = {value}  # not set{_remark(field).replace('  # ', '; ')}"
        else:
            yield f"# {key} = {default_text(field)}{_remark(field)}"
    yield ""
    for nested_name, nested_section in nested:
        yield from _section(nested_name, nested_section, values)


def config_text(
    repositories: Sequence[str],
    values: Mapping[str, str] = MappingProxyType({}),
    provider: str | None = None,
    *,
    schema: str = "config.schema.json",
) -> str:
    """Return the whole file: the repositories, then every section with its defaults commented out.

    Args:
        repositories: As `owner/name`.
        values: What is set otherwise, by section and key: `agent.kind`.
        provider: The protocol of a provider of the same name, whose table is written.
        schema: The file beside it with the JSON Schema, by which editors complete and check the keys.
    """
    lines = [_HEAD.replace("{schema}", schema), "# The repositories that Squire works on, as owner/name."]
    listed = "".join(f"  {toml_text(name)},\n" for name in repositories)
    lines += [f"repositories = [\n{listed}]" if listed else "repositories = []", ""]
    lines += ['# ledger_url = "…"  # not set: SQLite in the data directory; or postgresql://user@host/name', ""]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if default is not PydanticUndefined and isinstance(default, BaseModel):
            lines += _section(name, type(default), values)
    if provider is not None:
        lines += [f"# The key is the secret {provider}-key.", f"[providers.{provider}]", f'protocol = "{provider}"', ""]
    return "\n".join(lines) + "\n" + _TAIL


def _ask() -> Iterator[str]:
    write_line("Which repositories shall Squire work on? Enter one owner/name a line; an empty line ends the list.")
    for _ in range(MAX_ASKED):
        text = ask("repository", default="")
        if not text.strip():
            return
        try:
            yield parse_repository(text)
        except ValueError as error:
            write_line(f"  {error}")


def _piped() -> Iterator[str]:
    """Yield the repositories that a pipe names, one a line, up to an empty line or its end. Raises BadParameter."""
    for _ in range(MAX_ASKED):
        text = piped_answer()
        if text is None or not text.strip():
            return
        try:
            yield parse_repository(text)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="standard input") from error


def _provider_of(kind: str | None, provider: str | None) -> str | None:
    """Return the provider that an agent gets: the named one, else that of the one protocol which its program speaks.

    Raises:
        UsageError: The program does not speak the named provider's protocol.
    """
    if kind is None:
        return provider
    from squire_pipelines.agents.adapters.registry import find  # noqa: PLC0415 - the adapters, only for an agent

    protocols = find(kind).protocols
    if provider is None:
        return protocols[0] if len(protocols) == 1 else None
    if protocols and provider not in protocols:
        raise click.UsageError(
            f"{kind} speaks {' and '.join(protocols)}, and {provider} is not that: "
            + " or ".join(f"--provider {protocol}" for protocol in protocols)
        )
    return provider


def write(path: Path, text: str, *, force: bool) -> Path | None:
    """Write `text` completely or not at all, and return the copy of the old file. Raises ConfigError."""
    kept = None
    path = Path(os.path.realpath(path))  # a link of the person's stays one
    try:
        make_folder(path.parent)
        with open_atomically(path, replace=False) as file:
            file.write(text.encode())
            file.flush()
            if force and path.exists():
                kept = path.with_name(path.name + ".bak")
                path.replace(kept)
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.lexists(path):
            raise _exists(path) from error
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}", hint="name another place with --config PATH"
        ) from error
    return kept


def write_schema(path: Path) -> None:
    """Write what editors know the settings by, over an older one. Raises ConfigError."""
    try:
        write_atomically(path, json.dumps(settings_schema(), indent=1).encode() + b"\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", hint="remove what is in its place") from error


def _exists(path: Path) -> ConfigError:
    return ConfigError(f"{path} exists already", hint="edit it, or replace it with --force, which keeps a copy")


@command(
    "init",
    examples=(
        "squire init",
        "squire init --repository owner/name --yes",
        "squire init --repository owner/name --agent claude-code --provider anthropic --model claude-haiku-4-5",
        "squire --config ./squire.toml init --force",
        "squire init --github-app",
        "squire init --github-app --organization acme --no-browser",
        "squire init --pull-request acme/shop",
    ),
)
@click.option(
    "--repository",
    "repositories",
    type=REPOSITORY,
    multiple=True,
    help="Name a repository to work on; may be repeated.",
)
@click.option("--agent", "kind", type=ParsedType("kind", known_agent), help="Name the agent, as agent.kind does.")
@click.option("--provider", type=click.Choice([str(name) for name in Protocol]), help="Name whose the model is.")
@click.option("--model", help="Name the agent's model; else a small one of the provider's.")
@click.option(
    "--pull-request", "asked", type=REPOSITORY, help="Write no file; ask this repository by a pull request instead."
)
@click.option("--again", is_flag=True, help="With --pull-request: ask once more after it was closed.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--force", is_flag=True, help="Replace the existing file and keep it as config.toml.bak.")
@app_options
@with_context
def init(
    context: CliContext,
    repositories: tuple[str, ...],
    *,
    kind: str | None,
    provider: str | None,
    model: str | None,
    asked: str | None,
    again: bool,
    yes: bool,
    force: bool,
    app: AppOptions,
) -> None:
    """Write a commented config.toml with every section and its defaults, which are commented out.

    Beside it goes config.schema.json, by which editors complete and check its keys.

    With --provider it has a table [providers.NAME] of that protocol, whose key is the secret NAME-key. An agent whose
    program speaks one protocol alone has that provider without the option.

    With --github-app it makes a GitHub App in a browser, keeps its key and names it in the file, which may be there
    already. docs/guide/github-access.md says how, also without a browser on this machine.

    With --pull-request it opens a pull request in a repository, which adds a commented .github/squire.toml and shows
    what would be planned. Nothing is started there until it is merged; to close it is a no.
    """
    if asked is not None or again:
        from squire_pipelines.cli.onboarding import ask_repository  # noqa: PLC0415 - GitHub's client, the planner

        ask_repository(context, asked, again=again)
        return
    if app.needs_no_file(context, force=force):
        set_up_app(context, app)
        return
    if kind == "command":
        raise click.BadParameter(
            "it needs a command, and settings without one start no agent: write them without --agent, then set "
            '`command = ["PROGRAM", "ARGUMENT"]` and `kind = "command"` in [agent] with `squire config edit`',
            param_hint="--agent",
        )
    provider = _provider_of(kind, provider)
    path = context.config_path
    if path.exists() and not force:
        raise _exists(path)
    names = repositories
    if not names and not yes:
        names = tuple(_ask() if context.is_interactive else _piped())
    unique = list({name.lower(): name for name in names}.values())
    if model is None and kind is not None and provider is not None:
        model = default_model(kind, provider)
    options = {"agent.kind": kind, "agent.provider": provider, "agent.model": model}
    values = {key: str(value) for key, value in options.items() if value is not None}
    schema = path.with_suffix(".schema.json")
    with settings_locked(path, context.home):
        kept = write(path, config_text(unique, values, provider, schema=schema.name), force=force)
        write_schema(schema)
    if kept:
        write_line(f"kept the old file as {kept}")
    write_line(f"wrote {path}")
    _tell_what_is_left(unique, kind, provider, model, app)
    if app.is_asked:
        set_up_app(context, app)


def _tell_what_is_left(
    repositories: Sequence[str], kind: str | None, provider: str | None, model: str | None, app: AppOptions
) -> None:
    if not repositories:
        write_line("It names no repository yet: add some to `repositories`.")
    if model is None:
        write_line("It names no model for the agent: `squire config set agent.model NAME`, or write it with --agent.")
    if not app.github_app:
        write_line("Secrets do not belong in it: run `squire secrets set github-token`, or set SQUIRE_GITHUB_TOKEN.")
    if provider is not None:
        write_line(f"The model's key is another: `squire secrets set {provider}-key`.")
    if kind in WITH_IMAGE:
        write_line(f"The agent has an image of its own: `squire agents build {kind}`.")
    if not app.github_app:
        write_line("Next: `squire doctor`, then `squire run --dry-run`.")
    if repositories:
        write_line(f"`squire plans context {repositories[0]}` offers commands for `verification`, which has none yet.")
