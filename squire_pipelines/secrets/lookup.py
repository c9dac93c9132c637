"""Where a secret is found, and in which order: what a container is given, the encrypted file, the keychain, programs.

Nothing here writes a secret to a disk in the clear. Hiding secrets in text is `redact`'s.
"""

import hmac
from collections.abc import Callable, Iterable

from squire_pipelines.errors import ConfigError, PassphraseError, SecretMissingError
from squire_pipelines.secret_names import SecretName, check_secret_name, variables_of
from squire_pipelines.secrets.keychain import ORIGIN as KEYCHAIN_ORIGIN
from squire_pipelines.secrets.keychain import SERVICE
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.secret_files import has_control_characters, read_secret_file
from squire_pipelines.secrets.sources import SecretSources, from_environment, from_files, from_programs
from squire_pipelines.secrets.uses import UseKind, count_use

STORE_ORIGIN = "encrypted file"


def _find(name: str, sources: SecretSources) -> tuple[Secret | None, str]:
    """Return the secret, and what kept a place from giving it, in words for a hint."""
    if secret := from_environment(name) or from_files(name, sources):
        return secret, ""
    if value := sources.store.find(name):
        return Secret(value, name=name, origin=STORE_ORIGIN), ""
    value, trouble = sources.keychain().find(name)
    if value:
        return Secret(value, name=name, origin=KEYCHAIN_ORIGIN), ""
    secret, program_trouble = from_programs(name, sources)
    return secret, "; ".join(filter(None, (trouble, program_trouble)))


def find_secret(name: str, sources: SecretSources) -> Secret | None:
    """Look for a secret; None when it is nowhere.

    A tenant's is looked for as `TENANT.NAME`, and as the house's only where the tenant may use that. The order of the
    places: the environment variables of `secret_names.variables_of`, the file that `SQUIRE_<NAME>_FILE` names, a
    mounted file, a plain file where the settings allow it, the encrypted file, the keychain (service `squire`),
    `secrets.command`, `gh auth token`.

    Raises:
        PassphraseError: It is in the encrypted file, and nothing gives the passphrase.
        SecretStoreError: The encrypted file cannot be read.
        ConfigError: A file is there that others may read or write, or that cannot be read, or a plain file that is not
            read any more; a program of the settings is not there.
    """
    return _found_first(check_secret_name(name), sources)[0]


def require_secret(name: str, sources: SecretSources) -> Secret:
    """Like `find_secret`, for a secret that there is no going on without; a tenant's is named as its own.

    Raises:
        SecretMissingError: It is nowhere; the hint says how it is set.
        ConfigError: As in `find_secret`.
    """
    secret, trouble = _found_first(check_secret_name(name), sources)
    if secret:
        return secret
    known = sources.names_of(name)[0]
    variables = " or ".join(variables_of(known))
    raise SecretMissingError(
        f"the secret {known} is missing",
        hint=f"run `squire secrets set {known}`, or set {variables}" + (f"; {trouble}" if trouble else ""),
        context={"secret": known},
    )


def _found_first(name: str, sources: SecretSources) -> tuple[Secret | None, str]:
    """Return what is found under the first name that has something; a tenant's own comes before the house's."""
    trouble = ""
    for known in sources.names_of(name):
        secret, trouble = _or_plain_file(known, sources)
        if secret:
            break
    return secret, trouble


def _or_plain_file(name: str, sources: SecretSources) -> tuple[Secret | None, str]:
    secret, trouble = _find(name, sources)
    if secret is None and (path := sources.unread_plain_file(name)) is not None:
        raise ConfigError(
            f"the plain file {path} is there and is not read: secrets are not kept in the clear",
            hint=f"run `squire secrets import {name}`, which keeps it protected and removes the file; or set "
            "secrets.allow_plain_files = true",
            context={"secret": name},
        )
    return secret, trouble


def locate_secret(name: str, sources: SecretSources) -> tuple[str, str]:
    """Return where a secret is, and what kept a place from saying so; no passphrase and no program is asked for.

    Raises:
        ConfigError: As in `find_secret`.
    """
    place, trouble = "", ""
    for known in sources.names_of(check_secret_name(name)):
        place, trouble = _place_of(known, sources)
        if place:
            break
    return place, trouble


def _place_of(known: str, sources: SecretSources) -> tuple[str, str]:
    if secret := from_environment(known) or from_files(known, sources):
        return secret.origin, ""
    if known in sources.store.names():
        return STORE_ORIGIN, ""
    value, trouble = sources.keychain().find(known)
    if value:
        return KEYCHAIN_ORIGIN, ""
    if (path := sources.unread_plain_file(known)) is not None:
        return "", f"the plain file {path} is not read: run `squire secrets import {known}`"
    return "", trouble


def key_step(secret: Secret | None) -> str | None:
    """Return what changes a secret that was found; None where `squire secrets set` does.

    Args:
        secret: As it was found: a value in a variable or a file wins over one that Squire keeps.
    """
    if secret is None or secret.origin in {KEYCHAIN_ORIGIN, STORE_ORIGIN} or secret.origin.startswith("program "):
        return None
    return f"change it in the {secret.origin}"


def store_secret(
    name: str, value: str, sources: SecretSources, *, in_file: bool = False, kind: UseKind = "stored"
) -> str:
    """Keep a secret in the encrypted file where it belongs there, else in the keychain; return where, in words.

    Args:
        name: Of the secret.
        value: Its value.
        sources: See `find_secret`.
        in_file: Whether it goes into the encrypted file although there is a keychain.
        kind: For the audit trail.

    Raises:
        PassphraseError: It goes into the encrypted file, and nothing gives the passphrase.
        SecretStoreError: The encrypted file is not there (`SecretStore.create` makes it), or cannot be written.
        ConfigError: The keychain refuses, or the value is empty or has control characters; the hint says what to do.
    """
    known, text = check_secret_name(name), value.strip()
    if not text:
        raise ConfigError(f"the value given for {known} is empty", hint="give the secret itself")
    if has_control_characters(text):
        raise ConfigError(
            f"the value given for {known} has control characters, and nothing was changed",
            hint="copy the secret again, without what is around it",
        )
    Secret(text, name=known)  # so that no log of this process shows it
    if not in_file and not belongs_in_file(known, sources):
        ring = sources.keychain()
        ring.store(known, text)
        count_use(kind, known, KEYCHAIN_ORIGIN)
        return f"keychain ({ring.name}, service {SERVICE})"
    sources.store.change(lambda values: values.update({known: text}))
    count_use(kind, known, STORE_ORIGIN)
    return f"{STORE_ORIGIN} {sources.home.secret_store}"


def check_storable(name: str, sources: SecretSources) -> None:
    """Show that `store_secret` can keep a secret before there is one, by a write in the same place.

    Raises:
        ConfigError: What `store_secret` raises.
    """
    if belongs_in_file(name, sources):
        sources.store.check_writable()
        return
    ring, trial = sources.keychain(), f"{name}-trial"
    try:
        ring.store(trial, "trial")
        ring.remove(trial)
    except ConfigError as error:
        message = error.message.replace(trial, name)
        raise ConfigError(message, hint="unlock the keychain where a person can answer it, and try again") from error


def belongs_in_file(name: str, sources: SecretSources) -> bool:
    """Return whether a secret is kept in the encrypted file: it is there already, or there is no keychain."""
    return name in sources.store.names() or sources.keychain().backend is None


def _without(name: str) -> Callable[[dict[str, str]], None]:
    def remove(values: dict[str, str]) -> None:
        values.pop(name, None)

    return remove


def delete_secret(name: str, sources: SecretSources) -> tuple[str, ...]:
    """Remove a secret from the keychain and from the encrypted file; return where it was.

    Raises:
        PassphraseError: It is in the encrypted file, and nothing gives the passphrase.
        ConfigError: The keychain does not answer, or the file cannot be read or written.
    """
    known, places = check_secret_name(name), []
    store = sources.store
    if known in store.names():
        store.change(_without(known))
        places.append(STORE_ORIGIN)
    if sources.keychain().remove(known):
        places.append(KEYCHAIN_ORIGIN)
    for place in places:
        count_use("removed", known, place)
    return tuple(places)


def import_plain_file(name: str, sources: SecretSources) -> str:
    """Keep the secret of a plain file as `store_secret` does, read it back, and remove the file; return where it is.

    Raises:
        ConfigError: The file is not there, empty, or may be read by others; or what `store_secret` raises. The file is
            then left as it is.
    """
    known, path = check_secret_name(name), sources.plain_file(name)
    secret = read_secret_file(path, known, private=True)
    if secret is None:
        raise ConfigError(f"there is no plain file {path}, or it is empty", hint="`squire secrets list` shows them")
    where = store_secret(known, secret.reveal(), sources)
    kept = sources.store.find(known) or sources.keychain().find(known)[0] or ""
    if not hmac.compare_digest(kept.encode(), secret.reveal().encode()):
        raise ConfigError(f"{known} reads back as another value; {path} is left as it is", hint="run `squire doctor`")
    try:
        path.unlink()
    except OSError as error:
        raise ConfigError(
            f"{known} is kept in the {where}, but {path} cannot be removed: {error.strerror}", hint="remove it yourself"
        ) from error
    return where


def all_secrets(sources: SecretSources, provider_secrets: Iterable[str]) -> tuple[Secret, ...]:
    """Return every secret that this process can have, for a redactor: none of an encrypted file that is locked to it.

    Args:
        sources: See `find_secret`.
        provider_secrets: The names of the model providers' keys: `Settings.provider_secrets`.

    Raises:
        ConfigError: As in `find_secret`, but for a locked file and for plain files that are not read.
    """
    secrets = []
    for name in dict.fromkeys((*map(str, SecretName), *provider_secrets)):
        for known in sources.names_of(check_secret_name(name)):
            try:
                secret, _ = _find(known, sources)
            except PassphraseError:
                continue  # nothing in this process can show it
            if secret:
                secrets.append(secret)
    return tuple(secrets)
