"""`squire secrets`: which secrets are found and where, and keeping one in the keyring. Values are never written."""

import sys

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, pass_cli_context, table
from squire_pipelines.cli.lazy import LazyGroup, command
from squire_pipelines.errors import ConfigError
from squire_pipelines.secrets.lookup import MAX_SECRET_BYTES, SecretName, delete_secret, find_secret, store_secret

secrets = LazyGroup(name="secrets", help="Which secrets are found, and where; keep one in the keyring.")
_NAMES = click.Choice([name.value for name in SecretName])


def lookup(context: CliContext) -> list[dict[str, str | bool]]:
    """Each secret's name, whether it is found, where, and what is wrong if something is."""
    rows: list[dict[str, str | bool]] = []
    for name in SecretName:
        try:
            secret = find_secret(name, context.home)
        except ConfigError as error:
            rows.append({"name": name.value, "found": False, "where": "", "problem": str(error)})
        else:
            origin = secret.origin if secret else ""
            rows.append({"name": name.value, "found": secret is not None, "where": origin, "problem": ""})
    return rows


@command("status", examples=("squire secrets status", "squire secrets status --json"))
@json_option
@pass_cli_context
def status(context: CliContext, *, as_json: bool) -> None:
    """Show which secrets are found and where, never their values.

    They are looked for in the environment, in files of the configuration directory, and in the keyring.
    """
    rows = lookup(context)
    if as_json:
        emit_json(rows)
    else:
        cells = [(row["name"], "found" if row["found"] else "missing", row["where"], row["problem"]) for row in rows]
        context.console.print(table(("name", "state", "where", "problem"), cells))
    if any(row["problem"] for row in rows):
        click.get_current_context().exit(int(ConfigError.exit_code))


@command("set", examples=("squire secrets set github-token", "gh auth token | squire secrets set github-token"))
@click.argument("name", type=_NAMES)
def store(name: str) -> None:
    """Keep a secret in the operating system's keyring. It is asked for, or read from standard input."""
    asked = sys.stdin.isatty()
    value = click.prompt(name, hide_input=True) if asked else sys.stdin.read(MAX_SECRET_BYTES + 1)
    if len(value) > MAX_SECRET_BYTES:
        raise click.BadParameter(f"a secret has at most {MAX_SECRET_BYTES} bytes", param_hint="NAME")
    click.echo(f"{name} is kept in the {store_secret(name, value)}")


@command("unset", examples=("squire secrets unset github-token",))
@click.argument("name", type=_NAMES)
def unset(name: str) -> None:
    """Take a secret out of the keyring. It is no error when it is not there."""
    delete_secret(name)
    click.echo(f"{name} is not in the keyring")


for _each in (status, store, unset):
    secrets.add_command(_each)
