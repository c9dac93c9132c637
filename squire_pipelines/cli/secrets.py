"""`squire secrets`: keeping secrets in the keychain or the encrypted file, and showing where they are found."""

import hmac
import secrets as random_secrets
import sys
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import click

from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, with_context
from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.parameters import ParsedType
from squire_pipelines.cli.secret_places import all_names, secret_places
from squire_pipelines.cli.unlock import ask_new_passphrase, open_or_create_store, unlock_store
from squire_pipelines.errors import ConfigError, SecretStoreError
from squire_pipelines.secret_names import SecretName, check_secret_name
from squire_pipelines.secrets import keychain
from squire_pipelines.secrets.lookup import (
    STORE_ORIGIN,
    belongs_in_file,
    delete_secret,
    import_plain_file,
    locate_secret,
    require_secret,
    store_secret,
)
from squire_pipelines.secrets.passphrase import NAME
from squire_pipelines.secrets.secret_files import MAX_SECRET_BYTES, read_secret_file, secret_text
from squire_pipelines.secrets.sources import SecretSources
from squire_pipelines.secrets.uses import UseKind, count_use
from squire_pipelines.terminal.output import ask, write_exactly, write_labelled, write_line

_OLD_NAMES = {"status": "list", "unset": "rm"}


class _SecretsGroup(LazyGroup):
    """The group, whose commands can be called by their old names too."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of this name, or of the name that it has now."""
        return super().get_command(ctx, _OLD_NAMES.get(cmd_name, cmd_name))


secrets = _SecretsGroup(
    name="secrets", help="Keep secrets in the keychain or an encrypted file, and show where they are."
)
_GENERATED_BYTES = 32


class _SecretNameType(ParsedType[str]):
    """The name of a secret, completed with Squire's own."""

    completes = "secret"


_name_argument = click.argument("name", type=_SecretNameType("name", check_secret_name))


@dataclass(frozen=True, slots=True)
class SecretStatus:
    """Where a secret is found, or what kept a place from giving it; `is_broken` where that has to be repaired."""

    name: str
    where: str = ""
    problem: str = ""
    is_broken: bool = False

    @property
    def is_found(self) -> bool:
        """Whether some place has it."""
        return bool(self.where)


def secret_statuses(sources: SecretSources, provider_secrets: tuple[str, ...]) -> list[SecretStatus]:
    """Look for each of Squire's own secrets and of the model providers' keys, without a passphrase."""
    return [_secret_status(name, sources) for name in all_names(provider_secrets)]


def _secret_status(name: str, sources: SecretSources) -> SecretStatus:
    try:
        where, trouble = locate_secret(name, sources)
    except ConfigError as error:
        return SecretStatus(name, problem=str(error), is_broken=True)
    if not where and not trouble and sources.command:
        return SecretStatus(name, where=f"program {sources.command[0]}, which is asked when the secret is needed")
    if not where and not trouble and sources.gh and name == SecretName.GITHUB_TOKEN:
        return SecretStatus(name, where="program gh, which is asked when the secret is needed")
    return SecretStatus(name, where, trouble)


@secrets.command("list", examples=("squire secrets list", "squire secrets list --json"))
@json_option
@with_context
def list_(context: CliContext, *, as_json: bool) -> None:
    """Show which secrets are found and where, never their values. No passphrase is needed.

    They are looked for in the environment, in mounted files, in the keychain and in the encrypted file. Each table
    [providers.NAME] of the settings has a key of its own, NAME-key unless it names another.
    """
    statuses = secret_statuses(*secret_places(context))
    if as_json:
        emit_json([{"name": s.name, "found": s.is_found, "where": s.where, "problem": s.problem} for s in statuses])
    else:
        columns: Columns = {
            "name": "name",
            "state": lambda row: "found" if row.is_found else "not set",
            "where": "where",
            "problem": "problem",
        }
        context.write_rows(statuses, columns, wrap=("where", "problem"))
    if any(row.is_broken for row in statuses):
        raise SystemExit(ConfigError.exit_code)


@secrets.command(
    "set",
    examples=(
        "squire secrets set github-token",
        "gh auth token | squire secrets set github-token",
        "squire secrets set github-token --file   # although there is a keychain: step containers reach only the file",
    ),
)
@_name_argument
@click.option("--file", "in_file", is_flag=True, help="Keep it in the encrypted file although there is a keychain.")
@with_context
def store(context: CliContext, name: str, *, in_file: bool) -> None:
    """Keep a secret in the keychain, or where there is none in an encrypted file. It is asked for, or read from a pipe.

    NAME is github-token, github-app-key, webhook-secret, model-key, otlp-headers, alert-webhook-key, PROVIDER-key for
    the table [providers.PROVIDER], alert-TARGET-token for a target of alerts, or one that webhooks.secrets names.
    webhook-secret-old counts beside webhook-secret while that is rotated.
    """
    sources, provider_secrets = secret_places(context)
    _refuse_unknown(name, provider_secrets)
    _keep(context, name, _read_value(name), sources, in_file=in_file)


def _keep(
    context: CliContext, name: str, value: str, sources: SecretSources, *, in_file: bool, kind: UseKind = "stored"
) -> None:
    if not value.strip():  # before a passphrase is asked for
        raise ConfigError(f"the value given for {name} is empty", hint="give the secret itself")
    if in_file or belongs_in_file(name, sources):
        open_or_create_store(context, sources)
    write_line(f"{name} is kept in the {store_secret(name, value, sources, in_file=in_file, kind=kind)}")
    where, _ = locate_secret(name, sources)
    if where not in {keychain.ORIGIN, STORE_ORIGIN}:
        write_labelled("warning", f"the {where} wins over it: remove the value there", color="yellow")


def _read_value(name: str) -> str:
    if sys.stdin is None:  # it is closed
        return ""
    if sys.stdin.isatty():
        return secret_text(ask(name, is_secret=True).encode(errors="surrogateescape"), "terminal")
    return secret_text(sys.stdin.buffer.read(MAX_SECRET_BYTES + 1), "pipe")


def _refuse_unknown(name: str, keys: tuple[str, ...]) -> None:
    """Refuse a name that nothing looks for; settings that cannot be used refuse none. Raises ConfigError."""
    if not keys or name in all_names(keys):
        return
    known = all_names(keys)
    similar = get_close_matches(name, known, n=1)
    meant = f"; did you mean {similar[0]}?" if similar else ""
    raise ConfigError(
        f"no table [providers.NAME] of the settings has the key {name}{meant}",
        hint=f"name one of {', '.join(known)}, or write the provider's table into the settings first",
        context={"secret": name},
    )


@secrets.command("get", examples=("squire secrets get github-token", "squire secrets get webhook-secret --reveal"))
@_name_argument
@click.option("--reveal", is_flag=True, help="Write the value itself to standard output.")
@with_context
def get(context: CliContext, name: str, *, reveal: bool) -> None:
    """Show where a secret is found and how long it is; with --reveal, its value and nothing else."""
    sources, _ = secret_places(context)
    if not locate_secret(name, sources)[0].startswith(("environment", "file", keychain.ORIGIN)):
        unlock_store(context, sources)
    secret = require_secret(name, sources)
    value = secret.reveal()
    if reveal:
        write_exactly(value)
    else:
        write_line(f"{name}: found in the {secret.origin}, {len(value)} characters")


@secrets.command("rm", examples=("squire secrets rm github-token",))
@_name_argument
@with_context
def remove(context: CliContext, name: str) -> None:
    """Remove a secret from the keychain and the encrypted file. It is no error when it is in neither."""
    sources, _ = secret_places(context)
    if name in sources.store.names():
        unlock_store(context, sources)
    places = delete_secret(name, sources)
    write_line(f"{name} is removed from the {' and the '.join(places)}" if places else f"{name} is not kept by Squire")
    if where := locate_secret(name, sources)[0]:
        write_labelled("warning", f"{name} is still found in the {where}", color="yellow")


@secrets.command("rotate", examples=("squire secrets rotate webhook-secret", "squire secrets rotate github-token"))
@_name_argument
@with_context
def rotate(context: CliContext, name: str) -> None:
    """Replace a secret that Squire keeps by another value: webhook-secret by a random one, others by one that you give.

    The old value is kept until the new one is written and read back.
    """
    sources, _ = secret_places(context)
    where, _ = locate_secret(name, sources)
    if where not in {keychain.ORIGIN, STORE_ORIGIN}:
        step = f"change it in the {where}" if where else f"run `squire secrets set {name}`"
        raise ConfigError(f"{name} is not kept in the keychain or the encrypted file", hint=step)
    unlock_store(context, sources)
    is_generated = name == SecretName.WEBHOOK_SECRET
    value = random_secrets.token_hex(_GENERATED_BYTES) if is_generated else _read_value(name)
    if hmac.compare_digest(require_secret(name, sources).reveal().encode(), value.strip().encode()):
        raise ConfigError(f"the value given for {name} is the one that it has", hint="make another one and give that")
    _keep(context, name, value, sources, in_file=where == STORE_ORIGIN, kind="rotated")
    if is_generated:
        write_line(
            "Until GitHub has it too, deliveries are refused: `squire secrets get webhook-secret --reveal` shows it "
            "for the webhook's settings. `squire webhooks rotate` changes both sides, and refuses none."
        )
        if where == keychain.ORIGIN:  # a changed encrypted file is noticed
            write_line("`squire config reload` has a running receiver read it.")
    else:
        write_line("Revoke the old one where it was made.")


@secrets.command(
    "passphrase",
    examples=("squire secrets passphrase", "squire secrets passphrase --new-file /run/secrets/next-passphrase"),
)
@click.option(
    "--new-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Read the new passphrase from this file instead of asking for it.",
)
@with_context
def passphrase(context: CliContext, new_file: Path | None) -> None:
    """Change the passphrase of the encrypted file, which gets a new key. Restart what runs: it has the old key."""
    sources, _ = secret_places(context)
    secret_store = sources.store
    if not secret_store.exists:
        raise SecretStoreError(
            f"there is no secret store at {secret_store.path}", hint="`squire secrets set NAME --file` makes it"
        )
    open_or_create_store(context, sources)
    if new_file is None:
        new = ask_new_passphrase(context)
    elif (from_file := read_secret_file(new_file, NAME)) is not None:
        new = from_file
    else:
        raise ConfigError(f"{new_file} does not exist or is empty", hint="write the new passphrase there")
    secret_store.change_passphrase(new)
    count_use("rotated", NAME, STORE_ORIGIN)
    write_line(f"{secret_store.path} has a new passphrase.")


@secrets.command("import", examples=("squire secrets import github-token", "squire secrets import"))
@click.argument("names", nargs=-1, type=_SecretNameType("name", check_secret_name), metavar="[NAME]...")
@with_context
def import_(context: CliContext, names: tuple[str, ...]) -> None:
    """Keep the secrets of plain files in the home's folder `secrets` protected, and remove the files; all without NAME.

    Each is read back and compared before its file is removed.
    """
    sources, provider_secrets = secret_places(context)
    imported = names or tuple(name for name in all_names(provider_secrets) if sources.plain_file(name).is_file())
    if not imported:
        write_line(f"There is no plain file of a secret in {sources.home.secrets}.")
        return
    if any(belongs_in_file(name, sources) for name in imported):
        open_or_create_store(context, sources)
    for name in imported:
        where = import_plain_file(name, sources)
        write_line(f"{name} is kept in the {where}; {sources.plain_file(name)} is removed")


@secrets.command("doctor", examples=("squire secrets doctor", "squire secrets doctor --json"))
@json_option
@with_context
def doctor(context: CliContext, *, as_json: bool) -> None:
    """Check the keychain, the encrypted file and its passphrase, plain files and core dumps. Nothing is changed.

    The exit code is 3 when a check failed; a warning does not count.
    """
    from squire_pipelines.cli.diagnosis import show_all  # noqa: PLC0415 - other commands start sooner
    from squire_pipelines.cli.doctor.secrets import check_places  # noqa: PLC0415 - likewise

    sources, provider_secrets = secret_places(context)
    with suppress(ConfigError):  # the checks say what is wrong
        unlock_store(context, sources)
    if show_all(check_places(sources, all_names(provider_secrets)), as_json=as_json):
        raise SystemExit(ConfigError.exit_code)
