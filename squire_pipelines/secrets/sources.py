"""The places that a secret is looked for in, as values, and those that are read-only: variables, files, programs."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.errors import ConfigError
from squire_pipelines.home import Home
from squire_pipelines.secret_names import SecretName, file_variable_of, tenant_secret, variables_of
from squire_pipelines.secrets.keychain import TIMEOUT_S, Keychain, find_keychain
from squire_pipelines.secrets.passphrase import VARIABLE, mounted_folders
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.secret_files import MAX_SECRET_BYTES, read_secret_file, secret_of
from squire_pipelines.secrets.store import SecretStore

PLACEHOLDER = "{name}"
_GH = ("gh", "auth", "token")
# Programs ask a server, and dispatch looks for keys at every tick: an answer counts for so long in a process.
_ANSWER_KEPT_S = 300.0
_MAX_ANSWERS = 256
_answers: dict[tuple[str, ...], tuple[float, Secret | None, str]] = {}
_answers_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class SecretSources:
    """Where secrets are looked for: `Settings.secret_sources`.

    Args:
        home: Has the encrypted file, and the folder of plain files.
        allow_plain_files: Whether the plain files in the home are read.
        command: A program that writes the secret to its standard output; `{name}` stands for the secret's name.
        gh: Whether `gh auth token` is asked for github-token.
        command_timeout_s: For such a program.
        keychain_timeout_s: For the keychain of the operating system.
        tenant: Whose secrets are looked for; empty for the house's.
        house_secrets: Those of the house that the tenant may use where it has none of its own.
    """

    home: Home
    allow_plain_files: bool = False
    command: tuple[str, ...] = ()
    gh: bool = False
    command_timeout_s: float = 20.0
    keychain_timeout_s: float = TIMEOUT_S
    tenant: str = ""
    house_secrets: frozenset[str] = frozenset()

    def names_of(self, name: str) -> tuple[str, ...]:
        """Return under which names a secret is looked for, the first one first: a tenant's under its own.

        Raises:
            ValueError: It is another tenant's.
        """
        whose, separator, plain = name.rpartition(".")
        if not self.tenant or (separator and whose == self.tenant):
            return (name,)
        if separator:
            raise ValueError(f"{name} is no secret of the tenant {self.tenant}")
        own = tenant_secret(self.tenant, plain)
        return (own, name) if name in self.house_secrets else (own,)

    @property
    def store(self) -> SecretStore:
        """The encrypted file of the home."""
        return SecretStore(self.home.secret_store)

    def keychain(self) -> Keychain:
        """Return the keychain of the operating system, or what there is instead of one."""
        return find_keychain(self.keychain_timeout_s)

    def plain_file(self, name: str) -> Path:
        """Return where a secret in a plain file of the home is, whether it is there or not."""
        return self.home.secrets / name

    def unread_plain_file(self, name: str) -> Path | None:
        """Return the plain file of a secret that is there and is not read; None where there is none."""
        path = self.plain_file(name)
        return path if not self.allow_plain_files and os.path.isfile(path) else None  # noqa: PTH113 - raises nothing in a locked folder


def from_environment(name: str) -> Secret | None:
    """Return a secret from its variable."""
    for variable in variables_of(name):
        if value := os.environ.get(variable, "").strip():
            return Secret(value, name=name, origin=f"environment variable {variable}")
    return None


def from_files(name: str, sources: SecretSources) -> Secret | None:
    """Return a secret from the file that its variable names, from a mounted one, or from a plain one of the home.

    Raises:
        ConfigError: A file is there that others may read or write, or cannot be read; or the named one is not there.
    """
    if named := os.environ.get(file_variable_of(name)):
        secret = read_secret_file(Path(named), name)
        if secret is None:
            raise ConfigError(
                f"{file_variable_of(name)} names {named}, which does not exist or is empty",
                hint=f"write the secret there or unset {file_variable_of(name)}",
            )
        return secret
    for folder in mounted_folders():
        if secret := read_secret_file(folder / name, name):
            return secret
    return read_secret_file(sources.plain_file(name), name, private=True) if sources.allow_plain_files else None


def files_of(name: str, sources: SecretSources) -> tuple[Path, ...]:
    """Return every file whose change may be one of this secret, whether it is there or not; none is read."""
    named = os.environ.get(file_variable_of(name))
    mounted = tuple(folder / name for folder in mounted_folders())
    return (*((Path(named),) if named else ()), *mounted, sources.plain_file(name), sources.home.secret_store)


def from_programs(name: str, sources: SecretSources) -> tuple[Secret | None, str]:
    """Return a secret from the program of the settings or from `gh`, and what kept one of them from giving it.

    Raises:
        ConfigError: The program is not there, or writes what can be no secret.
    """
    trouble = ""
    for argv in _programs(name, sources):
        secret, trouble = _ask(argv, name, sources.command_timeout_s)
        if secret is not None:
            return secret, ""
    return None, trouble


def _programs(name: str, sources: SecretSources) -> Iterator[tuple[str, ...]]:
    if sources.command:
        yield tuple(word.replace(PLACEHOLDER, name) for word in sources.command)
    if sources.gh and name == SecretName.GITHUB_TOKEN:
        yield _GH


def _ask(argv: tuple[str, ...], name: str, timeout_s: float) -> tuple[Secret | None, str]:
    with _answers_lock:
        known = _answers.get(argv)
    if known is not None and time.monotonic() < known[0]:
        return known[1:]
    secret, trouble = _run(argv, name, timeout_s)
    with _answers_lock:
        if len(_answers) >= _MAX_ANSWERS:
            _answers.clear()
        _answers[argv] = time.monotonic() + _ANSWER_KEPT_S, secret, trouble
    return secret, trouble


def _run(argv: tuple[str, ...], name: str, timeout_s: float) -> tuple[Secret | None, str]:
    from squire_pipelines.bounded_process import ProcessLimits, run_bounded  # noqa: PLC0415 - only for such a program

    program = shutil.which(argv[0])
    setting = "secrets.gh" if argv == _GH else "secrets.command"
    if program is None:
        raise ConfigError(
            f"{setting} asks for the program {argv[0]}, which is not there",
            hint=f"install it, or remove {setting} from the settings",
        )
    limits = ProcessLimits(timeout_s=timeout_s, max_output=MAX_SECRET_BYTES + 1)
    # A program may need any variable but those that open the encrypted file.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(VARIABLE)}
    output = run_bounded((program, *argv[1:]), environment=environment, stdin=None, limits=limits)
    if output.timed_out:
        return None, f"{argv[0]} of {setting} did not answer within {timeout_s:g} s: it may wait for a person"
    if output.exit_code and not output.overflowed:
        # What it writes on standard error is not repeated: nobody knows what is in it.
        return None, f"{argv[0]} of {setting} ended with {output.exit_code}"
    return secret_of(bytes(output.stdout), name, origin=f"program {argv[0]} ({setting})"), ""
