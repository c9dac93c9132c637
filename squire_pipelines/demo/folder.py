"""The demo's folder: its lock, the state from which an interrupted demo continues, its secrets."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from secrets import token_hex

from pydantic import BaseModel, ConfigDict

from squire_pipelines.demo.options import DemoOptions
from squire_pipelines.errors import ConfigError, RefusedError
from squire_pipelines.files import lock, write_atomically
from squire_pipelines.home import STORE_NAME, make_folder
from squire_pipelines.runtime.home_lock import home_lock
from squire_pipelines.runtime.ports import free_port
from squire_pipelines.runtime.processes import stop_group
from squire_pipelines.secret_names import variables_of
from squire_pipelines.secrets.key_file import KEY_VARIABLE, can_hand_on, memory_folder, write_key
from squire_pipelines.secrets.sealed import KdfCost
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.store import SecretStore

_STATE_FILE = "demo.json"
_FORGE_GRACE_S = 5.0
_NO_COST = KdfCost(memory_kib=8, iterations=1, lanes=1)
# The person who runs the demo may have real credentials in the environment, and settings that would win over the
# demo's file. The demo must talk to its own forge only; the images are the one thing that the environment may choose.
_TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")
_ALLOWED = ("SQUIRE_AGENT__IMAGE", "SQUIRE_PIPELINE__IMAGE")


class DemoState(BaseModel):
    """The state that survives an interruption. `since` and `requests` are empty until the collection is requested."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    forge_port: int
    receiver_port: int
    since: datetime | None = None
    requests: tuple[int, ...] = ()
    finished: bool = False


def lock_folder(home: Path) -> AbstractContextManager[object]:
    """Lock the demo's folder for a `with` block. Raises RefusedError when another demo runs in it."""
    try:
        return lock(home.parent / f".{home.name}.lock")
    except TimeoutError:
        raise RefusedError(f"another demo is running in {home}", hint="wait for it, or choose another --home") from None


def stop_leftover_forge(home: Path) -> bool:
    """Stop the forge that a killed demo left running in this locked folder; return whether there was one.

    A forge holds its lock for as long as it lives, so that a process id in the file is never another process's.
    """
    path = home / "forge" / "forge.lock"
    if not path.exists():
        return False
    try:
        with lock(path):
            return False
    except TimeoutError:
        holder = path.read_text("ascii", errors="replace")
        if holder.isdigit():
            stop_group(int(holder), grace_s=_FORGE_GRACE_S)
        return holder.isdigit()


def prepare_folder(options: DemoOptions) -> tuple[DemoState, bool]:
    """Prepare folder and environment; return the state and whether it is an earlier demo's, which goes on.

    Raises:
        ConfigError: The folder holds something that no demo wrote.
        AlreadyRunningError: The folder would be emptied, but a `squire dev` serves it.
    """
    home = options.home
    subject = "samples"
    if options.repository:  # what is asked of it belongs to it: with another issue or command the demo is another one
        subject = "\n".join((str(options.repository.resolve()), options.issue, options.command))
    state = load_state(home)
    if state is None and home.exists() and any(home.iterdir()):
        raise ConfigError(f"{home} is not empty and was not made by the demo", hint="choose another --home")
    goes_on = state is not None and state.subject == subject and (options.stay or not state.finished)
    resumed = goes_on and not options.fresh
    if state is not None and not resumed:
        with home_lock(home / "run"):  # also stops what a killed demo left running in the folder
            _empty(home)
    make_folder(home)
    if state is None or not resumed:
        state = DemoState(subject=subject, forge_port=free_port(), receiver_port=free_port())
        save_state(home, state)
    for name in list(os.environ):
        if name in _TOKENS or (name.upper().startswith("SQUIRE_") and name not in _ALLOWED):
            del os.environ[name]
    os.environ["SQUIRE_HOME"] = str(home)
    return state, resumed


def _empty(home: Path) -> None:
    """Remove all that is in the folder; last what says that a demo made it, so that the next start can go on."""
    for path in home.iterdir():
        if path.name != _STATE_FILE:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (home / _STATE_FILE).unlink(missing_ok=True)


def load_state(home: Path) -> DemoState | None:
    """Return the demo's state, None when there is none. Raises ConfigError when it cannot be read."""
    path = home / _STATE_FILE
    try:
        return DemoState.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigError(f"{path} cannot be read", hint="remove the folder, or choose another --home") from error


def save_state(home: Path, state: DemoState) -> None:
    """Write the demo's state."""
    write_atomically(home / _STATE_FILE, state.model_dump_json().encode())


@contextmanager
def secrets_in_memory(home: Path) -> Iterator[Path | None]:
    """Yield a folder in memory for what must not be on a disk, None where this machine has none.

    At the end the folder is removed, and the encrypted file of the demo's secrets, whose key was in it.
    """
    if not can_hand_on():
        yield None
        return
    with memory_folder(home) as memory:
        try:
            yield memory
        finally:
            (home / STORE_NAME).unlink(missing_ok=True)


def keep_secrets(home: Path, memory: Path | None, values: Mapping[str, str]) -> None:
    """Keep the secrets of the demo's forge where the processes of the demo find them, and on no disk in the clear.

    Args:
        home: Gets an encrypted file with them, instead of an earlier demo's.
        memory: Gets its key, which the environment names; without one, the environment has the secrets themselves.
        values: The secrets by their names.
    """
    if memory is None:
        os.environ.update({variables_of(name)[0]: value for name, value in values.items()})
        return
    path = home / STORE_NAME
    path.unlink(missing_ok=True)
    # Nobody has to remember it, and nobody can guess it: its key need cost nothing.
    passphrase = Secret(token_hex(32), name="passphrase", origin="demo")
    store = SecretStore(path, cost=_NO_COST, passphrase=lambda: passphrase)
    store.create(passphrase)
    store.change(lambda kept: kept.update(values))
    os.environ[KEY_VARIABLE] = os.fspath(write_key(memory, store.key()))
