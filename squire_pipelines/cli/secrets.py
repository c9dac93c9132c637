"""`squire secrets`: which secrets are found and where, and keeping one in the keyring. Values are never written."""

import sys
from dataclasses import dataclass

import click

from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, table_of, with_context
from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.errors import ConfigError
from squire_pipelines.home import Home
from squire_pipelines.secrets.lookup import MAX_SECRET_BYTES, SecretName, delete_secret, find_secret, store_secret
from squire_pipelines.terminal.output import ask, write_line

secrets = LazyGroup(name="secrets", help="Show which secrets are found and where, and keep one in the keyring.")
_name_argument = click.argument("name", type=click.Choice([name.value for name in SecretName]))


@dataclass(frozen=True, slots=True)
class SecretStatus:
    """Whether a secret is found, where, and what is wrong with it if something is."""

    name: str
    is_found: bool
    where: str = ""
    problem: str = ""


def secret_statuses(home: Home) -> list[SecretStatus]:
    """Look for each secret."""
    return [_secret_status(name, home) for name in SecretName]


def _secret_status(name: SecretName, home: Home) -> SecretStatus:
    try:
        secret = find_secret(name, home)
    except ConfigError as error:
        return SecretStatus(name.value, is_found=False, problem=str(error))
    return SecretStatus(name.value, is_found=secret is not None, where=secret.origin if secret else "")


@secrets.command("status", examples=("squire secrets status", "squire secrets status --json"))
@json_option
@with_context
def status(context: CliContext, *, as_json: bool) -> None:
    """Show which secrets are found and where, never their values.

    They are looked for in the environment, in files of the configuration directory, and in the keyring.
    """
    statuses = secret_statuses(context.home)
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
def store(name: str) -> None:
    """Keep a secret in the operating system's keyring. It is asked for, or read from standard input."""
    is_terminal = sys.stdin.isatty()
    value = ask(name, is_secret=True) if is_terminal else sys.stdin.read(MAX_SECRET_BYTES + 1)
    if len(value) > MAX_SECRET_BYTES:
        raise click.BadParameter(f"a secret has at most {MAX_SECRET_BYTES} bytes", param_hint="NAME")
    write_line(f"{name} is kept in the {store_secret(name, value)}")


@secrets.command("unset", examples=("squire secrets unset github-token",))
@_name_argument
def unset(name: str) -> None:
    """Remove a secret from the keyring. It is no error when it is not there."""
    delete_secret(name)
    write_line(f"{name} is not in the keyring")
