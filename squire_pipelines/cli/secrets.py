"""`squire secrets`: which secrets are found and where, and keeping one in the keyring. Values are never written."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

import click
from click.shell_completion import CompletionItem

from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, table_of, with_context
from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.parameters import ParsedType
from squire_pipelines.errors import ConfigError, SecretMissingError
from squire_pipelines.home import Home
from squire_pipelines.secret_names import SecretName, check_secret_name
from squire_pipelines.secrets.lookup import MAX_SECRET_BYTES, delete_secret, require_secret, store_secret
from squire_pipelines.terminal.output import ask, write_labelled, write_line

secrets = LazyGroup(name="secrets", help="Show which secrets are found and where, and keep one in the keyring.")
_OWN_NAMES = tuple(map(str, SecretName))


class _SecretNameType(ParsedType[str]):
    """The name of a secret, completed with Squire's own."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's signature
        """Return the names that begin so."""
        return [CompletionItem(name) for name in _OWN_NAMES if name.startswith(incomplete)]


_name_argument = click.argument("name", type=_SecretNameType("name", check_secret_name))


@dataclass(frozen=True, slots=True)
class SecretStatus:
    """Where a secret was looked up, what is wrong with it, and where it may be put."""

    name: str
    is_found: bool
    where: str = ""
    problem: str = ""
    next_step: str = ""


def secret_statuses(home: Home, provider_secrets: Iterable[str]) -> list[SecretStatus]:
    """Look for each of Squire's own secrets and of the model providers' keys."""
    return [_secret_status(name, home) for name in dict.fromkeys((*_OWN_NAMES, *provider_secrets))]


def _secret_status(name: str, home: Home) -> SecretStatus:
    try:
        secret = require_secret(name, home)
    except SecretMissingError as error:
        return SecretStatus(name, is_found=False, next_step=error.hint)
    except ConfigError as error:
        return SecretStatus(name, is_found=False, problem=str(error))
    return SecretStatus(name, is_found=True, where=secret.origin)


def _provider_secrets(context: CliContext) -> tuple[str, ...]:
    """Return the names of the providers' keys; none with settings that cannot be used, which no secret waits for."""
    try:
        return context.settings.provider_secrets
    except ConfigError as error:
        write_labelled("warning", f"the providers' keys are not known: {error.message}", color="yellow")
        return ()


@secrets.command("status", examples=("squire secrets status", "squire secrets status --json"))
@json_option
@with_context
def status(context: CliContext, *, as_json: bool) -> None:
    """Show which secrets are found and where, never their values.

    They are looked for in the environment, in files of the configuration directory, and in the keyring. Each table
    [providers.NAME] of the settings has a key of its own, NAME-key unless it names another.
    """
    statuses = secret_statuses(context.home, _provider_secrets(context))
    if as_json:
        emit_json([{"name": s.name, "found": s.is_found, "where": s.where, "problem": s.problem} for s in statuses])
    else:
        columns: Columns = {
            "name": "name",
            "state": lambda row: "found" if row.is_found else "missing",
            "where": "where",
            "problem": "problem",
        }
        context.console.print(table_of(statuses, columns))
    if any(row.problem for row in statuses):
        raise SystemExit(ConfigError.exit_code)


@secrets.command("set", examples=("squire secrets set github-token", "gh auth token | squire secrets set github-token"))
@_name_argument
@with_context
def store(context: CliContext, name: str) -> None:
    """Keep a secret in the operating system's keyring. It is asked for, or read from standard input.

    NAME is github-token, github-app-key, webhook-secret, model-key, or the key of a table [providers.NAME]: NAME-key.
    """
    _refuse_unknown(context, name)
    is_terminal = sys.stdin.isatty()
    value = ask(name, is_secret=True) if is_terminal else sys.stdin.read(MAX_SECRET_BYTES + 1)
    if len(value) > MAX_SECRET_BYTES:
        raise click.BadParameter(f"a secret has at most {MAX_SECRET_BYTES} bytes", param_hint="NAME")
    write_line(f"{name} is kept in the {store_secret(name, value, context.home)}")


def _refuse_unknown(context: CliContext, name: str) -> None:
    """Refuse a name that nothing looks for; settings that cannot be used refuse none. Raises ConfigError."""
    keys = () if name in _OWN_NAMES else _provider_secrets(context)
    if not keys or name in keys:
        return
    known = tuple(dict.fromkeys((*_OWN_NAMES, *keys)))
    similar = get_close_matches(name, known, n=1)
    meant = f"; did you mean {similar[0]}?" if similar else ""
    raise ConfigError(
        f"no table [providers.NAME] of the settings has the key {name}{meant}",
        hint=f"name one of {', '.join(known)}, or write the provider's table into the settings first",
        context={"secret": name},
    )


@secrets.command("unset", examples=("squire secrets unset github-token",))
@_name_argument
def unset(name: str) -> None:
    """Remove a secret from the keyring. It is no error when it is not there."""
    delete_secret(name)
    write_line(f"{name} is not in the keyring")
