"""The keychain of the operating system through `keyring`: asked within a bounded time, and never a plaintext one."""

import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from squire_pipelines.errors import ConfigError

SERVICE = "squire"
TIMEOUT_S = 5.0
ORIGIN = "keychain"
NONE = "this machine has no keychain"
_ResultT = TypeVar("_ResultT")


class _SilentError(Exception):
    """The keychain did not answer in time."""


@dataclass(frozen=True, slots=True)
class Keychain:
    """What `keyring` offers on this machine.

    Args:
        backend: Its object; None where there is none, or only one that keeps secrets in plain text.
        name: Of the backend, for people; without one, why there is none.
        timeout_s: How long to wait for each answer: a keychain may wait for a person to unlock it, for ever.
    """

    backend: Any
    name: str
    timeout_s: float = TIMEOUT_S

    def find(self, name: str) -> tuple[str | None, str]:
        """Return a secret, and what kept the keychain from answering, in words for a hint."""
        if self.backend is None:
            return None, ""
        import keyring.errors  # noqa: PLC0415 - it looks for back ends when imported

        try:
            return _bounded(lambda: self.backend.get_password(SERVICE, name), self.timeout_s) or None, ""
        except keyring.errors.NoKeyringError:
            return None, ""
        except Exception as error:  # noqa: BLE001 - back ends are others' packages, and raise what their buses do
            return None, self._trouble(error)

    def store(self, name: str, value: str) -> None:
        """Keep a secret and read it back. Raises ConfigError when it is locked, silent or keeps something else."""
        try:
            _bounded(lambda: self.backend.set_password(SERVICE, name, value), self.timeout_s)
            is_kept = _bounded(lambda: self.backend.get_password(SERVICE, name), self.timeout_s) == value
        except Exception as error:  # noqa: BLE001 - as in `find`; its text may have the value, and is not chained
            raise self._refusal(name, self._trouble(error)) from None
        if not is_kept:
            raise self._refusal(name, f"{self.name} gives back another value")

    def remove(self, name: str) -> bool:
        """Remove a secret; return whether it was there. Raises ConfigError when the keychain does not answer."""
        if self.backend is None:
            return False
        import keyring.errors  # noqa: PLC0415 - it looks for back ends when imported

        try:
            with contextlib.suppress(keyring.errors.PasswordDeleteError, keyring.errors.NoKeyringError):
                _bounded(lambda: self.backend.delete_password(SERVICE, name), self.timeout_s)
                return True
        except Exception as error:  # as in `find`
            message = f"{name} is not removed from the keychain: {self._trouble(error)}"
            raise ConfigError(message, hint="unlock the keychain, and run the command again") from error
        return False

    def _trouble(self, error: Exception) -> str:
        if isinstance(error, _SilentError):
            return f"the keychain ({self.name}) did not answer within {self.timeout_s:g} s: it may wait for a person"
        return f"the keychain ({self.name}) refuses: {type(error).__name__}"

    @staticmethod
    def _refusal(name: str, reason: str) -> ConfigError:
        return ConfigError(
            f"{name} is not kept: {reason}",
            hint="unlock the keychain where a person can answer it, or keep the secret in the encrypted file: "
            f"`squire secrets set {name} --file`",
            context={"secret": name},
        )


def find_keychain(timeout_s: float = TIMEOUT_S) -> Keychain:
    """Return the machine's keychain, or what there is instead of one."""
    import keyring  # noqa: PLC0415 - it looks for back ends when imported

    try:
        backend = keyring.get_keyring()
    except Exception as error:  # noqa: BLE001 - it imports the back end that a variable or a file of keyring's names
        return Keychain(
            None, f"{NONE}: the back end that keyring is set to use cannot be used ({type(error).__name__})"
        )
    plain = ""
    for one in getattr(backend, "backends", None) or (backend,):  # the chain of all of them has several
        kind = f"{type(one).__module__}.{type(one).__qualname__}"
        if is_plaintext(kind):
            plain = kind
        elif not kind.startswith(("keyring.backends.fail.", "keyring.backends.null.", "keyring.backends.chainer.")):
            return Keychain(one, kind, timeout_s)
    return Keychain(None, f"{NONE}: {plain} is not used, since it does not protect what it keeps" if plain else NONE)


def is_plaintext(kind: str) -> bool:
    """Return whether a back end of this name keeps secrets in the clear, or as good as: all of `keyrings.alt` do."""
    return kind.startswith("keyrings.alt.") or "plain" in kind.lower()


def _bounded(call: Callable[[], _ResultT], timeout_s: float) -> _ResultT:
    """Return the result of `call` from a thread of its own. Raises _SilentError, and what `call` raises."""
    answers: queue.SimpleQueue[tuple[_ResultT | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asked, which raises it
            answers.put((None, error))

    threading.Thread(target=run, name="keychain", daemon=True).start()
    try:
        value, error = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise _SilentError from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # without an error it is the call's own result
