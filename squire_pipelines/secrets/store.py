"""The encrypted file of secrets: opened once by each process, changed by one at a time, written whole or not at all.

What is in the file is `sealed`'s, where its passphrase comes from `passphrase`'s.
"""

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.errors import ConfigError, PassphraseError, SecretStoreError
from squire_pipelines.files import lock, open_untrusted, write_atomically
from squire_pipelines.home import make_folder, why_not_writable
from squire_pipelines.secrets.key_file import find_key
from squire_pipelines.secrets.passphrase import IN_A_FILE, find_passphrase
from squire_pipelines.secrets.sealed import (
    MAX_FILE_BYTES,
    KdfCost,
    SealedFile,
    SealingKey,
    derive_key,
    new_salt,
    open_sealed,
    parse,
    seal,
)
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.secret_files import may_exist

MIN_PASSPHRASE_CHARS = 8
WRONG_PASSPHRASE_PAUSE_S = 1.0
LOCK_TIMEOUT_S = 15.0
_OTHERS = 0o077


@dataclass(frozen=True, slots=True, repr=False)
class _OpenedFile:
    """A file that this process has opened: its digest, by which a change of it is noticed, its key and its secrets."""

    digest: bytes
    key: SealingKey
    values: dict[str, str]


# The process's cache, since dispatch looks for keys at every tick, and the key takes a third of a second.
_opened: dict[Path, _OpenedFile] = {}
_refused: dict[Path, bytes] = {}
_cache_lock = threading.RLock()


class SecretStore:
    """The encrypted file of one home.

    Args:
        path: The file.
        cost: Of the key that a new passphrase gets; a file keeps its own.
        passphrase: Gives the passphrase without asking anybody; None when there is none.
        pause: Called with the seconds to wait after a wrong passphrase.
        lock_timeout_s: How long to wait for another process that changes the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        cost: KdfCost = KdfCost(),  # noqa: B008 - frozen
        passphrase: Callable[[], Secret | None] = find_passphrase,
        pause: Callable[[float], None] = time.sleep,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> None:
        self.path = path
        self._cost = cost
        self._passphrase = passphrase
        self._pause = pause
        self._lock_timeout_s = lock_timeout_s

    @property
    def exists(self) -> bool:
        """Whether the file is there, or in a folder that this user may not search."""
        return may_exist(self.path) or self.path.is_symlink()

    def names(self) -> tuple[str, ...]:
        """Return the names of its secrets, for which no passphrase is needed; none without a file.

        Raises:
            SecretStoreError: It cannot be read, or others may read it, or it is damaged.
        """
        return self._load()[0].names if self.exists else ()

    def cost(self) -> KdfCost:
        """Return what the key of the file costs. Raises SecretStoreError."""
        return self._load()[0].cost

    def find(self, name: str) -> str | None:
        """Return a secret, None when it is not among the names.

        Raises:
            PassphraseError: It is there, and nothing gives the passphrase, or a wrong one.
            SecretStoreError: As `names`.
        """
        return self.read().get(name) if name in self.names() else None

    def read(self) -> dict[str, str]:
        """Return all secrets by their names; the dictionary is the caller's. Raises what `find` raises."""
        return dict(self._open().values)

    def key(self) -> SealingKey:
        """Return the key of the opened file. Raises what `find` raises."""
        return self._open().key

    def unlock(self, passphrase: Secret) -> None:
        """Open the file with a passphrase, for this process. Raises PassphraseError, SecretStoreError."""
        with _cache_lock:
            sealed, digest = self._load()
            self._remember(sealed, digest, self._derive(sealed, passphrase))

    def create(self, passphrase: Secret) -> None:
        """Make the file, without a secret in it, unless another process was quicker; then open that one.

        Raises:
            ConfigError: The passphrase is too short.
            SecretStoreError: It cannot be written.
        """
        _check_new(passphrase)
        with self._locked():
            if not self.exists:
                self._write({}, derive_key(passphrase.reveal(), new_salt(), self._cost))
                return
        self.unlock(passphrase)

    def change(self, edit: Callable[[dict[str, str]], None]) -> None:
        """Change the secrets by `edit`, which gets them as they are when no other process can change them.

        Raises:
            PassphraseError: Nothing gives the passphrase, or a wrong one.
            SecretStoreError: There is no file, or it cannot be written; the one that is there stays as it is.
        """
        with self._locked():
            opened = self._open()
            values = dict(opened.values)
            edit(values)
            if values != opened.values:
                self._write(values, opened.key)

    def check_writable(self) -> None:
        """Write the file as it is once more, with another nonce: what is kept next can be. Raises as `change`."""
        with self._locked():
            opened = self._open()
            self._write(dict(opened.values), opened.key)

    def change_passphrase(self, passphrase: Secret) -> None:
        """Encrypt the secrets anew with a key of another passphrase and a new salt. Raises what `change` raises."""
        _check_new(passphrase)
        with self._locked():
            values = self._open().values
            self._write(values, derive_key(passphrase.reveal(), new_salt(), self._cost))

    def _open(self) -> _OpenedFile:
        with _cache_lock:  # held while the key is derived, so that threads do not all derive it
            sealed, digest = self._load()
            opened = _opened.get(self.path)
            if opened is not None and opened.digest == digest:
                return opened
            if opened is not None and opened.key.salt == sealed.salt and opened.key.cost == sealed.cost:
                return self._remember(sealed, digest, opened.key)
            if (key := find_key(sealed.salt)) is not None:
                return self._remember(sealed, digest, SealingKey(key, sealed.salt, sealed.cost))
            passphrase = self._passphrase()
            if passphrase is None:
                raise PassphraseError(f"the secret store {self.path} is locked: nothing gives its passphrase", hint=HOW)
            return self._remember(sealed, digest, self._derive(sealed, passphrase))

    def _derive(self, sealed: SealedFile, passphrase: Secret) -> SealingKey:
        """Return the key of a passphrase that opens the file; after a wrong one, wait. Raises PassphraseError."""
        attempt = hashlib.sha256(sealed.head + passphrase.reveal().encode()).digest()
        if _refused.get(self.path) == attempt:  # at every tick of a daemon, without the work and the wait
            raise PassphraseError(f"the passphrase from the {passphrase.origin} does not open {self.path}", hint=HOW)
        key = derive_key(passphrase.reveal(), sealed.salt, sealed.cost)
        try:
            open_sealed(sealed, key, str(self.path))
        except PassphraseError:
            _refused[self.path] = attempt
            self._pause(WRONG_PASSPHRASE_PAUSE_S)
            raise
        return key

    def _remember(self, sealed: SealedFile, digest: bytes, key: SealingKey) -> _OpenedFile:
        opened = _OpenedFile(digest, key, open_sealed(sealed, key, str(self.path)))
        _opened[self.path] = opened
        return opened

    def _load(self) -> tuple[SealedFile, bytes]:
        """Read the file whole, check whose it is and its checksum. Raises SecretStoreError."""
        try:
            with open_untrusted(self.path) as file:
                status = os.fstat(file.fileno())
                if status.st_uid != os.geteuid():
                    raise SecretStoreError(
                        f"the secret store {self.path} belongs to the user {status.st_uid}, and this is {os.geteuid()}",
                        hint=f"run Squire as its owner, or give it to this user: chown {os.geteuid()} {self.path}",
                    )
                if status.st_mode & _OTHERS:
                    raise SecretStoreError(
                        f"others may read or write the secret store {self.path}", hint=f"chmod 600 {self.path}"
                    )
                data = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            raise SecretStoreError(
                f"there is no secret store at {self.path}", hint="`squire secrets set NAME` makes it"
            ) from None
        except OSError as error:
            raise SecretStoreError(
                f"the secret store {self.path} cannot be read: {error.strerror}",
                hint="check its owner, mode and folder",
            ) from error
        return parse(data, str(self.path)), hashlib.sha256(data).digest()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other writers out, in this process and in others. Raises SecretStoreError."""
        with contextlib.ExitStack() as stack:
            try:
                make_folder(self.path.parent)
                stack.enter_context(lock(self.path.with_name(f"{self.path.name}.lock"), timeout_s=self._lock_timeout_s))
            except TimeoutError:
                raise SecretStoreError(
                    f"another process has been changing the secret store {self.path} for {self._lock_timeout_s:g} s",
                    hint="wait until it has ended, and run the command again",
                ) from None
            except OSError as error:
                raise self._not_written(error) from error
            yield

    def _write(self, values: dict[str, str], key: SealingKey) -> None:
        """Write the file, locked by the caller, and read it back. Raises SecretStoreError."""
        data = seal(values, key)
        try:
            # What a killed writer left: this process has the lock, so that nobody writes to any of them.
            for left in self.path.parent.glob(f".{self.path.name}.*.part"):
                left.unlink(missing_ok=True)
            write_atomically(self.path, data)
        except OSError as error:
            raise self._not_written(error) from error
        sealed, digest = self._load()
        with _cache_lock:
            if self._remember(sealed, digest, key).values != values:
                raise SecretStoreError(
                    f"the secret store {self.path} does not hold what was written to it", hint="check the disk"
                )

    def _not_written(self, error: OSError) -> SecretStoreError:
        reason = why_not_writable(self.path.parent) or error.strerror or type(error).__name__
        return SecretStoreError(
            f"the secret store {self.path} cannot be written: {reason}; nothing was changed",
            hint="make room or make the folder writable, and run the command again",
        )


def _check_new(passphrase: Secret) -> None:
    if len(passphrase.reveal()) < MIN_PASSPHRASE_CHARS:
        raise ConfigError(
            f"the passphrase has fewer than {MIN_PASSPHRASE_CHARS} characters",
            hint="take several words: whoever gets the file can try passphrases as long as they like",
        )


HOW = f"run the command at a terminal, which asks for it; or {IN_A_FILE}"
