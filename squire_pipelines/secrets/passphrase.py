"""Where the passphrase of the encrypted file comes from without a terminal: a descriptor, a file, the environment.

The command asks a person for it. Child processes get a key instead, by `key_file`.
"""

import os
import select
import time
from pathlib import Path

from squire_pipelines.errors import ConfigError
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.secret_files import MAX_SECRET_BYTES, may_exist, read_secret_file, secret_of

VARIABLE = "SQUIRE_SECRETS_PASSPHRASE"
FILE_VARIABLE = f"{VARIABLE}_FILE"
DESCRIPTOR_VARIABLE = f"{VARIABLE}_FD"
MOUNTED_NAME = "squire-passphrase"
MOUNTS = Path("/run/secrets")
NAME = "passphrase"
EXPOSED = f"the passphrase of the secret store is in {VARIABLE}, which other processes of this user can read"
IN_A_FILE = f"name a file with it in {FILE_VARIABLE}, or mount it as the secret `{MOUNTED_NAME}`"
_VARIABLE_ORIGIN = "environment variable"
_DESCRIPTOR_TIMEOUT_S = 10.0
_read_from_descriptor: dict[str, Secret] = {}


def mounted_folders() -> tuple[Path, ...]:
    """Return the folders in which systemd, Docker and Kubernetes mount secrets as files, by name."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    return (*((Path(credentials),) if credentials else ()), MOUNTS)


def passphrase_file() -> Path | None:
    """Return the file with the passphrase, None when none is named or mounted."""
    if named := os.environ.get(FILE_VARIABLE):
        return Path(named)
    mounted = (folder / MOUNTED_NAME for folder in mounted_folders())
    return next((path for path in mounted if may_exist(path)), None)


def find_passphrase() -> Secret | None:
    """Return the passphrase with its origin, None when nothing gives one.

    The order: the descriptor that `SQUIRE_SECRETS_PASSPHRASE_FD` numbers, the file that
    `SQUIRE_SECRETS_PASSPHRASE_FILE` names, a file `squire-passphrase` that is mounted as a secret, and the variable
    `SQUIRE_SECRETS_PASSPHRASE`.

    Raises:
        ConfigError: What is named gives none, or others may write it.
    """
    if number := os.environ.get(DESCRIPTOR_VARIABLE):
        # Taken from the environment: in a child the number is another file's.
        del os.environ[DESCRIPTOR_VARIABLE]
        _read_from_descriptor[NAME] = _read_descriptor(number)
    if passphrase := _read_from_descriptor.get(NAME):
        return passphrase
    if (path := passphrase_file()) is not None:
        secret = read_secret_file(path, NAME)
        if secret is None:
            raise ConfigError(
                f"{path}, which is to hold the passphrase of the secret store, does not exist or is empty",
                hint=f"write the passphrase there, or unset {FILE_VARIABLE}",
            )
        return secret
    value = os.environ.get(VARIABLE, "").strip()
    return Secret(value, name=NAME, origin=f"{_VARIABLE_ORIGIN} {VARIABLE}") if value else None


def is_exposed(passphrase: Secret) -> bool:
    """Return whether other processes of the same user can read the passphrase where it comes from."""
    return passphrase.origin.startswith(_VARIABLE_ORIGIN)


def _read_descriptor(number: str) -> Secret:
    """Read the passphrase from an open file that the parent has handed on, within ten seconds. Raises ConfigError."""
    data, deadline = b"", time.monotonic() + _DESCRIPTOR_TIMEOUT_S
    hint = f"open it for this process, as in `{DESCRIPTOR_VARIABLE}=3 squire dev 3< FILE`"
    try:
        descriptor = int(number)
        while len(data) <= MAX_SECRET_BYTES:
            if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"nothing came within {_DESCRIPTOR_TIMEOUT_S:g} s")
            chunk = os.read(descriptor, MAX_SECRET_BYTES)
            if not chunk:
                break
            data += chunk
    except (ValueError, OverflowError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{DESCRIPTOR_VARIABLE} names no descriptor that can be read: {reason}", hint=hint) from error
    secret = secret_of(data, NAME, origin=f"descriptor {number}")
    if secret is None:
        raise ConfigError(f"the descriptor {number} of {DESCRIPTOR_VARIABLE} gave no passphrase", hint=hint)
    return secret
