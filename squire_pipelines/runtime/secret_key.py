"""Hands the key of the encrypted file of secrets to the processes of a home, in a file that lives in memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from squire_pipelines.errors import ConfigError, PassphraseError
from squire_pipelines.secrets.key_file import IN_MEMORY, KEY_VARIABLE, can_hand_on, key_file, memory_folder, write_key
from squire_pipelines.secrets.passphrase import IN_A_FILE, find_passphrase, passphrase_file
from squire_pipelines.secrets.sources import SecretSources


@contextmanager
def handed_on_key(sources: SecretSources) -> Iterator[dict[str, str]]:
    """Yield the variables by which child processes open the encrypted file: none where they need or can have none.

    The file with the key is removed at the end. The caller holds the lock of the home.

    Raises:
        PassphraseError: The passphrase that something gives is wrong.
        SecretStoreError: The encrypted file cannot be read.
        ConfigError: This machine has no file system in memory, and nothing else gives children the passphrase.
    """
    store = sources.store
    if key_file() is not None or not store.names():
        yield {}
        return
    try:
        key = store.key()
    except PassphraseError:
        if find_passphrase() is not None:
            raise
        yield {}  # locked: whoever needs a secret of it is told so
        return
    if not can_hand_on():
        if passphrase_file() is None:
            raise ConfigError(
                f"this machine has no {IN_MEMORY}, through which child processes get the key of the secret store",
                hint=IN_A_FILE,
            )
        yield {}
        return
    with memory_folder(sources.home.state) as folder:
        yield {KEY_VARIABLE: os.fspath(write_key(folder, key))}
