"""Where a secret is found: environment, then a file, then the keyring of the operating system. Hiding is `redact`'s.

Nothing here writes a secret to a disk in the clear.
"""

import contextlib
import os
import queue
import stat
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from squire_pipelines.errors import ConfigError, SecretMissingError
from squire_pipelines.home import Home
from squire_pipelines.secret_names import SecretName, check_secret_name, file_variable_of, variables_of
from squire_pipelines.secrets.secret import Secret

KEYRING_SERVICE = "squire"
KEYRING_TIMEOUT_S = 5.0
_KEYRING = "keyring"
_NO_KEYRING = "this machine has no keyring"
MAX_SECRET_BYTES = 64 * 1024
_ResultT = TypeVar("_ResultT")


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


def _from_environment(name: str) -> Secret | None:
    for variable in variables_of(name):
        if value := os.environ.get(variable, "").strip():
            return Secret(value, name=name, origin=f"environment variable {variable}")
    return None


def _read(path: Path, name: str, *, private: bool) -> Secret | None:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            forbidden = stat.S_IRWXG | stat.S_IRWXO if private else stat.S_IWOTH
            if status.st_mode & forbidden:
                raise ConfigError(
                    f"the secret file {path} can be {'read' if private else 'written'} by others",
                    hint=f"chmod 600 {path}",
                    context={"secret": name},
                )
            data = file.read(MAX_SECRET_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"the secret file {path} cannot be read: {error.strerror}",
            hint="check its owner and mode",
            context={"secret": name},
        ) from error
    if len(data) > MAX_SECRET_BYTES:
        raise ConfigError(
            f"the secret file {path} is longer than {MAX_SECRET_BYTES} bytes",
            hint="is it the right file?",
            context={"secret": name},
        )
    try:
        value = data.decode().strip()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the secret file {path} is no text", hint="is it the right file?", context={"secret": name}
        ) from error
    return Secret(value, name=name, origin=f"file {path}") if value else None


def _from_file(name: str, home: Home) -> Secret | None:
    if named := os.environ.get(file_variable_of(name)):
        # Orchestrators mount secrets readable for all within the container (0444), so only writing is refused here.
        secret = _read(Path(named), name, private=False)
        if secret is None:
            raise ConfigError(
                f"{file_variable_of(name)} names {named}, which does not exist or is empty",
                hint=f"write the secret there or unset {file_variable_of(name)}",
            )
        return secret
    return _read(home.secrets / name, name, private=True)


def _from_keyring(name: str, timeout_s: float) -> tuple[Secret | None, str]:
    """Return the secret, and what kept the keyring from answering, in words for a hint."""
    import keyring  # noqa: PLC0415 - it looks for back ends when imported
    import keyring.errors  # noqa: PLC0415 - likewise

    try:
        value = _bounded(lambda: keyring.get_password(KEYRING_SERVICE, name), timeout_s)
    except keyring.errors.NoKeyringError:
        return None, _NO_KEYRING
    except keyring.errors.KeyringError as error:
        return None, f"the keyring refused: {type(error).__name__}"
    except _KeyringSilentError:
        return None, f"the keyring did not answer within {timeout_s:g} s"
    return (Secret(value, name=name, origin=_KEYRING) if value else None), ""


def _find(name: str, home: Home, timeout_s: float) -> tuple[Secret | None, str]:
    secret = _from_environment(name) or _from_file(name, home)
    return (secret, "") if secret else _from_keyring(name, timeout_s)


def find_secret(name: str, home: Home, *, keyring_timeout_s: float = KEYRING_TIMEOUT_S) -> Secret | None:
    """Look for a secret; None when it is nowhere.

    The order: the environment variables of `names.variables_of`, the file that `SQUIRE_<NAME>_FILE` names, the file
    `secrets/<name>` (mode 0600) in the configuration directory, the keyring (service `squire`).

    Raises:
        ConfigError: A file is there that others may read or write, or that cannot be read.
    """
    return _find(check_secret_name(name), home, keyring_timeout_s)[0]


def require_secret(name: str, home: Home, *, keyring_timeout_s: float = KEYRING_TIMEOUT_S) -> Secret:
    """Like `find_secret`, for a secret that there is no going on without.

    Raises:
        SecretMissingError: It is nowhere; the hint names the three places.
        ConfigError: As in `find_secret`.
    """
    known = check_secret_name(name)
    secret, trouble = _find(known, home, keyring_timeout_s)
    if secret:
        return secret
    variables = " or ".join(variables_of(known))
    keep = "" if trouble == _NO_KEYRING else f", or keep it in the keyring with `squire secrets set {known}`"
    raise SecretMissingError(
        f"the secret {known} is missing",
        hint=f"set {variables}, or name a file in {file_variable_of(known)} (or write "
        f"{home.secrets / known}, mode 0600){keep}" + (f"; {trouble}" if trouble else ""),
        context={"secret": known},
    )


def key_step(
    name: str, home: Home, secret: Secret | None, *, keyring_timeout_s: float = KEYRING_TIMEOUT_S
) -> str | None:
    """Return what sets a secret on this machine; None where `squire secrets set` does.

    Args:
        name: Of the secret.
        home: See `find_secret`.
        secret: As it was found: a value in a variable or a file wins over one in the keyring.
        keyring_timeout_s: See `find_secret`.
    """
    if secret is not None:
        return None if secret.origin == _KEYRING else f"change it in the {secret.origin}"
    return _step_without_keyring(name, home) if _from_keyring(name, keyring_timeout_s)[1] else None


def _step_without_keyring(name: str, home: Home) -> str:
    return f"set {variables_of(name)[0]}, or write the file {home.secrets / name} (mode 0600)"


def store_secret(name: str, value: str, home: Home, *, keyring_timeout_s: float = KEYRING_TIMEOUT_S) -> str:
    """Keep a secret in the operating system's keyring; return where it is kept, in words.

    Raises:
        ConfigError: There is no keyring, or it refuses; the hint names the variable and the file to use instead.
    """
    import keyring  # noqa: PLC0415 - it looks for back ends when imported
    import keyring.errors  # noqa: PLC0415 - likewise

    known = check_secret_name(name)
    if not value.strip():
        raise ConfigError(f"the value given for {known} is empty", hint="give the secret itself")
    try:
        _bounded(lambda: keyring.set_password(KEYRING_SERVICE, known, value.strip()), keyring_timeout_s)
    except (keyring.errors.KeyringError, _KeyringSilentError) as error:
        has_none = isinstance(error, keyring.errors.NoKeyringError)
        reason = _NO_KEYRING if has_none else f"the keyring refuses: {type(error).__name__}"
        hint = _step_without_keyring(known, home)
        raise ConfigError(f"{known} is not kept: {reason}", hint=hint, context={"secret": known}) from error
    return f"keyring, service {KEYRING_SERVICE}"


def delete_secret(name: str, *, keyring_timeout_s: float = KEYRING_TIMEOUT_S) -> None:
    """Remove a secret from the keyring; it is no error when it is not there or there is no keyring."""
    import keyring  # noqa: PLC0415 - it looks for back ends when imported
    import keyring.errors  # noqa: PLC0415 - likewise

    with contextlib.suppress(keyring.errors.PasswordDeleteError, keyring.errors.NoKeyringError):
        _bounded(lambda: keyring.delete_password(KEYRING_SERVICE, check_secret_name(name)), keyring_timeout_s)


def all_secrets(
    home: Home, provider_secrets: Iterable[str], *, keyring_timeout_s: float = KEYRING_TIMEOUT_S
) -> tuple[Secret, ...]:
    """Return every secret that is there, for a redactor.

    Args:
        home: See `find_secret`.
        provider_secrets: The names of the model providers' keys: `Settings.provider_secrets`.
        keyring_timeout_s: See `find_secret`, for each secret.
    """
    names = dict.fromkeys((*map(str, SecretName), *provider_secrets))
    secrets = (find_secret(name, home, keyring_timeout_s=keyring_timeout_s) for name in names)
    return tuple(secret for secret in secrets if secret)
