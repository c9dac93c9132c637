"""The format of the encrypted file of secrets: how it is read, opened and made. Where it lies is `store`'s.

    squire-secrets 1 LF | header, one line of JSON | AES-256-GCM of {name: value} as JSON | SHA-256 of all before

The header has the parameters of argon2id, the salt, the nonce and the secrets' names. The first two lines are the
cipher's authenticated data. The checksum needs no key: it tells a damaged file from a wrong passphrase.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from squire_pipelines.errors import PassphraseError, SecretStoreError

VERSION = 1
MAX_FILE_BYTES = 4 * 2**20
MAX_SECRETS = 256
KEY_BYTES = 32
_MAGIC = b"squire-secrets "
_MAX_FIRST_LINE = 32
_MAX_HEADER_BYTES = 64 * 1024
_MAX_NAME = 128
_SALT_BYTES = 16
_NONCE_BYTES = 12
_SUM_BYTES = hashlib.sha256().digest_size
# What a file may ask for before anything of it is trusted: about two seconds and 256 MiB.
_MAX_MEMORY_KIB = 256 * 1024
_MAX_ITERATIONS = 10
_MAX_LANES = 8
_MAX_WORK_KIB = 1024 * 1024
_MIN_KIB_PER_LANE = 8


@dataclass(frozen=True, slots=True)
class KdfCost:
    """What it costs to make the key of a passphrase with argon2id; the default is RFC 9106's second recommendation.

    Args:
        memory_kib: KiB of memory.
        iterations: Passes over it.
        lanes: Threads.
    """

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4

    @property
    def is_bounded(self) -> bool:
        """Whether a file may ask for it."""
        return (
            1 <= self.lanes <= _MAX_LANES
            and 1 <= self.iterations <= _MAX_ITERATIONS
            and _MIN_KIB_PER_LANE * self.lanes <= self.memory_kib <= _MAX_MEMORY_KIB
            and self.memory_kib * self.iterations <= _MAX_WORK_KIB
        )


@dataclass(frozen=True, slots=True, repr=False)
class SealingKey:
    """A key with the salt and the cost that it was derived with, which the files that it opens repeat."""

    key: bytes
    salt: bytes
    cost: KdfCost

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickled key would end on a disk.
        raise TypeError("the key of the secret store is not written anywhere")


@dataclass(frozen=True, slots=True)
class SealedFile:
    """An encrypted file that was read and not yet opened: nothing of it is authenticated."""

    cost: KdfCost
    salt: bytes
    nonce: bytes
    names: tuple[str, ...]
    head: bytes
    ciphertext: bytes


def new_salt() -> bytes:
    """Return a random salt."""
    return os.urandom(_SALT_BYTES)


def derive_key(passphrase: str, salt: bytes, cost: KdfCost) -> SealingKey:
    """Return the key of a passphrase; it takes the time that `cost` asks for.

    Raises:
        SecretStoreError: The installed cryptography library has no argon2id.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - slow, and few commands open the file
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # noqa: PLC0415 - likewise

    try:
        kdf = Argon2id(
            salt=salt, length=KEY_BYTES, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib
        )
    except UnsupportedAlgorithm as error:
        raise SecretStoreError(
            "the encrypted file of secrets needs argon2id, which the installed OpenSSL has not",
            hint="install the package `cryptography` from its wheel, which brings an OpenSSL of 3.2 or later",
        ) from error
    except MemoryError as error:
        raise SecretStoreError(
            f"there is not enough memory for the key of the secret store: it takes {cost.memory_kib // 1024} MiB",
            hint="give this process more memory",
        ) from error
    return SealingKey(kdf.derive(passphrase.encode()), salt, cost)


def seal(values: Mapping[str, str], key: SealingKey) -> bytes:
    """Return the file that keeps `values`, with a nonce of its own. Raises SecretStoreError when they are too many."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - slow to import

    nonce = os.urandom(_NONCE_BYTES)
    header = {
        "kdf": "argon2id",
        "memory_kib": key.cost.memory_kib,
        "iterations": key.cost.iterations,
        "lanes": key.cost.lanes,
        "salt": key.salt.hex(),
        "cipher": "aes-256-gcm",
        "nonce": nonce.hex(),
        "names": sorted(values),
    }
    head = b"%s%d\n%s\n" % (_MAGIC, VERSION, json.dumps(header).encode())
    body = head + AESGCM(key.key).encrypt(nonce, json.dumps(dict(values)).encode(), head)
    data = body + hashlib.sha256(body).digest()
    if len(data) > MAX_FILE_BYTES or len(values) > MAX_SECRETS:
        raise SecretStoreError(
            f"the secret store takes {MAX_SECRETS} secrets and {MAX_FILE_BYTES // 2**20} MiB at most",
            hint="remove what is not needed with `squire secrets rm NAME`",
        )
    return data


def parse(data: bytes, place: str) -> SealedFile:
    """Return what the file says of itself, its checksum and bounds checked.

    Args:
        data: The whole file.
        place: Where it lies, for messages.

    Raises:
        SecretStoreError: It is another thing, of a newer version, or damaged.
    """
    first, _, rest = data[:_MAX_FIRST_LINE].partition(b"\n")
    number = first.removeprefix(_MAGIC)
    if not first.startswith(_MAGIC) or not number.isdigit() or number.startswith(b"0") or not rest:
        raise SecretStoreError(f"{place} is no secret store of Squire's, or it is damaged", hint=_RESTORE)
    if int(number) != VERSION:
        raise SecretStoreError(
            f"{place} has the version {int(number)} of the secret store, and this Squire reads version {VERSION}",
            hint="install the newer Squire that wrote it, or restore an older file from a backup",
        )
    body, checksum = data[:-_SUM_BYTES], data[-_SUM_BYTES:]
    if len(data) > MAX_FILE_BYTES or hashlib.sha256(body).digest() != checksum:
        raise SecretStoreError(f"{place} is damaged: its checksum does not fit", hint=_RESTORE)
    start = len(first) + 1
    end = body.find(b"\n", start, start + _MAX_HEADER_BYTES)
    try:
        if end < 0:
            raise ValueError("no header")  # noqa: TRY301 - each fault of the header has one message
        return _read_header(json.loads(body[start:end]), body[: end + 1], body[end + 1 :])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SecretStoreError(f"{place} is damaged: its header cannot be read", hint=_RESTORE) from error


def _read_header(header: Any, head: bytes, ciphertext: bytes) -> SealedFile:
    """Return the header's values. Raises ValueError, KeyError, TypeError for what no Squire writes."""
    cost = KdfCost(*(header[name] for name in ("memory_kib", "iterations", "lanes")))
    salt, nonce, names = bytes.fromhex(header["salt"]), bytes.fromhex(header["nonce"]), header["names"]
    is_known = (header["kdf"], header["cipher"]) == ("argon2id", "aes-256-gcm")
    are_numbers = all(type(number) is int for number in (cost.memory_kib, cost.iterations, cost.lanes))
    if not (is_known and are_numbers and cost.is_bounded and len(salt) == _SALT_BYTES and len(nonce) == _NONCE_BYTES):
        raise ValueError("out of bounds")
    are_names = type(names) is list and len(names) <= MAX_SECRETS
    if not are_names or not all(type(name) is str and 0 < len(name) <= _MAX_NAME for name in names):
        raise ValueError("no names")
    return SealedFile(cost, salt, nonce, tuple(names), head, ciphertext)


def open_sealed(sealed: SealedFile, key: SealingKey, place: str) -> dict[str, str]:
    """Return the secrets of a file by their names.

    Raises:
        PassphraseError: The key is not the file's, or somebody changed the file and its checksum with it.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - likewise

    try:
        plain = AESGCM(key.key).decrypt(sealed.nonce, sealed.ciphertext, sealed.head)
    except InvalidTag:
        # One message for a wrong passphrase and a forged file: whoever tries learns nothing from it.
        raise PassphraseError(f"the passphrase does not open {place}", hint=_NEXT_AFTER_A_WRONG_ONE) from None
    values: dict[str, str] = json.loads(plain)
    return values


_RESTORE = (
    "restore the file from a backup, or move it away and set the secrets again with `squire secrets set NAME`; "
    "nothing was changed"
)
_NEXT_AFTER_A_WRONG_ONE = (
    "give the passphrase that it was made with; if that is lost, move the file away and set the secrets again with "
    "`squire secrets set NAME`"
)
