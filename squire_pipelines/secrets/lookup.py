"""Where a secret is found: environment, then a file, then the keyring of the operating system. Hiding is `redact`'s.

Nothing here writes a secret to a disk in the clear.
"""

import contextlib
import os
import queue
import stat
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from squire_pipelines.errors import ConfigError, SecretMissingError
from squire_pipelines.home import Home
from squire_pipelines.secrets.secret import Secret

KEYRING_SERVICE = "squire"
KEYRING_TIMEOUT_S = 5.0
MAX_SECRET_BYTES = 64 * 1024
_ResultT = TypeVar("_ResultT")


class SecretName(StrEnum):
    """The secrets that Squire knows."""

    GITHUB_TOKEN = "github-token"  # noqa: S105 - the name, not the value
    GITHUB_APP_KEY = "github-app-key"
    WEBHOOK_SECRET = "webhook-secret"  # noqa: S105 - likewise
    MODEL_KEY = "model-key"

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that may hold it, the first wins."""
        own = "SQUIRE_" + self.value.upper().replace("-", "_")
        return (own, "GITHUB_TOKEN", "GH_TOKEN") if self is SecretName.GITHUB_TOKEN else (own,)

    @property
    def file_variable(self) -> str:
        """The environment variable that may name a file with it."""
        return f"{self.variables[0]}_FILE"


class _KeyringSilentError(Exception):
    """The keyring did not answer in time."""


def _bounded(call: Callable[[], _ResultT], timeout_s: float) -> _ResultT:
    """Return the result of `call` from a thread of its own: a keyring may wait for a person to unlock it, for ever."""
    answers: queue.SimpleQueue[tuple[_ResultT | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asked, which raises it
            answers.put((None, error))

    threading.Thread(target=run, name="keyring", daemon=True).start()
    try:
        value, error = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise _KeyringSilentError from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # without an error it is the call's own result


def _from_environment(name: SecretName) -> Secret | None:
    for variable in name.variables:
        if value := os.environ.get(variable, "").strip():
            return Secret(value, name=name.value, origin=f"environment variable {variable}")
    return None


def _read(path: Path, name: SecretName, *, private: bool) -> Secret | None:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            forbidden = stat.S_IRWXG | stat.S_IRWXO if private else stat.S_IWOTH
            if status.st_mode & forbidden:
                raise ConfigError(
                    f"the secret file {path} can be {'read' if private else 'written'} by others",
                    hint=f"chmod 600 {path}",
                    context={"secret": name.value},
                )
            data = file.read(MAX_SECRET_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"the secret file {path} cannot be read: {error.strerror}",
            hint="check its owner and mode",
            context={"secret": name.value},
        ) from error
    if len(data) > MAX_SECRET_BYTES:
        raise ConfigError(
            f"the secret file {path} is longer than {MAX_SECRET_BYTES} bytes",
            hint="is it the right file?",
            context={"secret": name.value},
        )
    try:
        value = data.decode().strip()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the secret file {path} is no text", hint="is it the right file?", context={"secret": name.value}
        ) from error
    return Secret(value, name=name.value, origin=f"file {path}") if value else None


def _from_file(name: SecretName, home: Home) -> Secret | None:
    if named := os.environ.get(name.file_variable):
        # Orchestrators mount secrets readable for all within the container (0444), so only writing is refused here.
        secret = _read(Path(named), name, private=False)
        if secret is None:
            raise ConfigError(
                f"{name.file_variable} names {named}, which does not exist or is empty",
                hint=f"write the secret there or unset {name.file_variable}",
            )
        return secret
    return _read(home.secrets / name.value, name, private=True)


def _from_keyring(name: SecretName, timeout_s: float) -> tuple[Secret | None, str]:
    """Return the secret, and what kept the keyring from answering, in words for a hint."""
    import keyring  # noqa: PLC0415 - it looks for back ends when imported
    import keyring.errors  # noqa: PLC0415 - likewise

    try:
        value = _bounded(lambda: keyring.get_password(KEYRING_SERVICE, name.value), timeout_s)
    except keyring.errors.NoKeyringError:
        return None, "this machine has no keyring"
    except keyring.errors.KeyringError as error:
        return None, f"the keyring refused: {type(error).__name__}"
    except _KeyringSilentError:
        return None, f"the keyring did not answer within {timeout_s:g} s"
    return (Secret(value, name=name.value, origin="keyring") if value else None), ""


def _find(name: SecretName, home: Home, timeout_s: float) -> tuple[Secret | None, str]:
    secret = _from_environment(name) or _from_file(name, home)
    return (secret, "") if secret else _from_keyring(name, timeout_s)


def find_secret(name: SecretName | str, home: Home, *, keyring_timeout_s: float = KEYRING_TIMEOUT_S) -> Secret | None:
    """Look for a secret; None when it is nowhere.

    The order: the environment variables of `SecretName.variables`, the file that `SQUIRE_<NAME>_FILE` names, the file
    `secrets/<name>` (mode 0600) in the configuration directory, the keyring (service `squire`).

    Raises:
        ConfigError: A file is there that others may read or write, or that cannot be read.
    """
    return _find(SecretName(name), home, keyring_timeout_s)[0]


def require_secret(name: SecretName | str, home: Home, *, keyring_timeout_s: float = KEYRING_TIMEOUT_S) -> Secret:
    """Like `find_secret`, for a secret that there is no going on without.

    Raises:
        SecretMissingError: It is nowhere; the hint names the three places.
        ConfigError: As in `find_secret`.
    """
    known = SecretName(name)
    secret, trouble = _find(known, home, keyring_timeout_s)
    if secret:
        return secret
    variables = " or ".join(known.variables)
    raise SecretMissingError(
        f"the secret {known.value} is missing",
        hint=f"set {variables}, or name a file in {known.file_variable} (or write {home.config / 'secrets' / known},"
        f" mode 0600), or keep it in the keyring with `squire secrets set {known}`"
        + (f"; {trouble}" if trouble else ""),
        context={"secret": known.value},
    )


def store_secret(name: SecretName | str, value: str, *, keyring_timeout_s: float = KEYRING_TIMEOUT_S) -> str:
    """Keep a secret in the operating system's keyring; return where it is kept, in words.

    Raises:
        ConfigError: There is no keyring, or it refuses; the hint names the environment variable to set instead.
    """
    import keyring  # noqa: PLC0415 - it looks for back ends when imported
    import keyring.errors  # noqa: PLC0415 - likewise

    known = SecretName(name)
    if not value.strip():
        raise ConfigError(f"the value given for {known.value} is empty", hint="give the secret itself")
    try:
        _bounded(lambda: keyring.set_password(KEYRING_SERVICE, known.value, value.strip()), keyring_timeout_s)
    except (keyring.errors.KeyringError, _KeyringSilentError) as error:
        message = f"the keyring cannot keep {known.value}: {type(error).__name__}"
        hint = f"set the environment variable {known.variables[0]} instead"
        raise ConfigError(message, hint=hint, context={"secret": known.value}) from error
    return f"keyring, service {KEYRING_SERVICE}"


def delete_secret(name: SecretName | str, *, keyring_timeout_s: float = KEYRING_TIMEOUT_S) -> None:
    """Remove a secret from the keyring; it is no error when it is not there or there is no keyring."""
    import keyring  # noqa: PLC0415 - it looks for back ends when imported
    import keyring.errors  # noqa: PLC0415 - likewise

    with contextlib.suppress(keyring.errors.PasswordDeleteError, keyring.errors.NoKeyringError):
        _bounded(lambda: keyring.delete_password(KEYRING_SERVICE, SecretName(name).value), keyring_timeout_s)


def all_secrets(home: Home, *, keyring_timeout_s: float = KEYRING_TIMEOUT_S) -> tuple[Secret, ...]:
    """Return every secret that is there, for a redactor."""
    secrets = (find_secret(name, home, keyring_timeout_s=keyring_timeout_s) for name in SecretName)
    return tuple(secret for secret in secrets if secret)
