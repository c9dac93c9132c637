"""A key of the encrypted file in memory for child processes: they open it without a passphrase, and without its cost.

It is a file of mode 0600 on the file system that lives in memory, which step containers can mount; never on a disk.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from squire_pipelines.errors import ConfigError
from squire_pipelines.files import write_atomically
from squire_pipelines.secrets.sealed import KEY_BYTES, SealingKey
from squire_pipelines.secrets.secret_files import read_secret_file

# Not …_KEY_FILE: that names the file of a model provider's key, which would be sent to a provider named `secrets`.
KEY_VARIABLE = "SQUIRE_SECRETS_KEYFILE"
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of mode 0700 and a random name is made in it
_NAME = "store-key"


def key_file() -> Path | None:
    """Return the file with the key that a parent process has handed on, None when there is none."""
    named = os.environ.get(KEY_VARIABLE)
    return Path(named) if named else None


def find_key(salt: bytes) -> bytes | None:
    """Return the key that was handed on for the file with this salt; None when there is none for it.

    Raises:
        ConfigError: Others may read the key's file, or it holds no key.
    """
    path = key_file()
    secret = read_secret_file(path, "key of the secret store", private=True) if path is not None else None
    if secret is None:
        return None
    try:
        known_salt, key = map(bytes.fromhex, secret.reveal().split())
    except ValueError:
        key = known_salt = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{path} holds no key of a secret store", hint=f"unset {KEY_VARIABLE}")
    return key if known_salt == salt else None


def can_hand_on(folder: Path = IN_MEMORY) -> bool:
    """Return whether this machine has a file system in memory, to which everybody may write."""
    return folder.is_mount() and os.access(folder, os.W_OK)


@contextlib.contextmanager
def memory_folder(home: Path, *, folder: Path = IN_MEMORY) -> Iterator[Path]:
    """Make a folder in memory for its owner alone, and remove it at the end.

    What an earlier, killed process of the same home left is removed; the caller holds a lock of the home.
    """
    prefix = f"squire-{os.geteuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}-"
    for left in folder.glob(f"{prefix}*"):
        if left.lstat().st_uid == os.geteuid():
            shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))  # 0700
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def write_key(folder: Path, key: SealingKey) -> Path:
    """Write a key into a folder in memory; return its file, which `SQUIRE_SECRETS_KEYFILE` is to name."""
    path = folder / _NAME
    write_atomically(path, f"{key.salt.hex()} {key.key.hex()}\n".encode(), durable=False)
    return path
