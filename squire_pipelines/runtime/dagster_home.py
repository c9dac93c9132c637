"""Dagster's instance in a home: the file `dagster.yaml`, the environment that goes with it, and how it is opened."""

import hashlib
import os
import secrets
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from squire_pipelines.errors import ConfigError
from squire_pipelines.files import write_atomically
from squire_pipelines.home import make_folder
from squire_pipelines.runtime.dagster_queue import with_queue
from squire_pipelines.settings.dagster_storage import VARIABLE
from squire_pipelines.settings.model import Settings

if TYPE_CHECKING:
    import dagster as dg

_EARLIER_DAGSTER_YAML = {
    "28129324bdbb07886c841079911c9e7625310dab5cc42ac31a9c0ad0e0ea3719",
    "0b30da26658d817a54b0f2c3466b1e9e094ee3271882cfeb9577f4660ac86029",
    "0afb70551936d18b334bb6c27341b786bbe6218075271d2526252a2298f75374",
}
"""The SHA-256 of what earlier versions shipped: without a bound on runs that start at once, with ticks kept longer."""
_PLACES = (Path(__file__).parent, Path(__file__).parents[2])  # of an installed wheel, and of a checkout
_ON_POSTGRES = f"""
# In the database of the ledger, or of `pipeline.storage_url`: the variable has the URL, which may have a password.
storage:
  postgres:
    postgres_url:
      env: {VARIABLE}
"""


def dagster_yaml(*, places: Sequence[Path] = _PLACES) -> Path:
    """Return the file with the instance's settings that we ship. Raises ConfigError when the installation lacks it."""
    for place in places:
        if (place / "dagster.yaml").is_file():
            return place / "dagster.yaml"
    raise ConfigError("dagster.yaml is missing from the installation", hint="install Squire again")


ONE_PLANNED_EVENT = "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS"
"""Has Dagster store one event for each asset that a run will make, in place of one for each asset and repository.

Those take most of the time of a collection with many repositories, and a run between two repositories has all that lie
between them in the partition set. In return Dagster does not mark partitions as failed when a run fails; what a source
could not give is reported by its check.
"""


def instance_environment(settings: Settings) -> dict[str, str]:
    """Set up `DAGSTER_HOME`, and return the environment of our child processes, which look secrets up.

    A `dagster.yaml` that Squire wrote, now or in an earlier version, and that nobody has changed, is replaced by what
    the settings ask for now.

    Raises:
        ConfigError: The settings ask for Postgres, and Dagster's library for it is not installed.
    """
    target = make_folder(settings.home.dagster) / "dagster.yaml"
    text = dagster_yaml().read_text(encoding="utf-8") + _storage_part(settings)
    text = with_queue(text) if settings.is_shared else text
    if _is_ours(target) and (not target.exists() or target.read_text(encoding="utf-8") != text):
        # First, and with the one before, so that after a kill between the two either file is known.
        lines = [*_recorded(target)[-1:], _digest(text.encode())]
        write_atomically(_record_of(target), "".join(f"{line}\n" for line in lines).encode())
        write_atomically(target, text.encode())
    own = {"DAGSTER_HOME": str(settings.home.dagster), "PYTHONUNBUFFERED": "1", **_variable(settings)}
    return {ONE_PLANNED_EVENT: "1", **os.environ, **own}


def _storage_part(settings: Settings) -> str:
    """Return what `dagster.yaml` has about the storage: nothing for files in the home."""
    if settings.dagster_storage_url is None:
        return ""
    if find_spec("dagster_postgres") is None:
        raise ConfigError(
            "the ledger is on Postgres, and Dagster's library for its own storage there is not installed",
            hint="install squire-pipelines[postgres]",
        )
    return _ON_POSTGRES


def _is_ours(file: Path) -> bool:
    if not file.exists():
        return True
    shipped = dagster_yaml().read_text(encoding="utf-8")
    plain = (shipped, shipped + _ON_POSTGRES)
    ours = {_digest(text.encode()) for text in (*plain, *map(with_queue, plain))}  # a restored home has no record
    return _digest(file.read_bytes()) in ours.union(_EARLIER_DAGSTER_YAML, _recorded(file))


def _record_of(file: Path) -> Path:
    """Return where the digests of what Squire has written to `file` are, the last of them at the end."""
    return file.with_name(f".{file.name}.written")


def _recorded(file: Path) -> list[str]:
    try:
        return _record_of(file).read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _variable(settings: Settings) -> dict[str, str]:
    url = settings.dagster_storage_url
    return {} if url is None else {VARIABLE: url}


def storage_mark(settings: Settings) -> Path:
    """Return the file that says that Dagster's storage was made: one for the home's files, one for each database."""
    url = settings.dagster_url_in_use
    if url is None:
        return settings.home.dagster / "storage-made"
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - only where a server is named

    place = make_url(url).set(username=None, password=None, query={}).render_as_string()
    return settings.home.dagster / f"storage-made-{_digest(place.encode())[:12]}"


def open_instance(settings: Settings) -> "dg.DagsterInstance":
    """Open Dagster's instance of a home, for a `with` block. Imports Dagster. Raises what its storage raises."""
    import dagster as dg  # noqa: PLC0415 - over a second, which only this needs

    os.environ |= _variable(settings)
    return dg.DagsterInstance.from_config(str(settings.home.dagster))


def code_server_socket(settings: Settings) -> Path:
    """Return where the code server listens. Runs bear its name, by which a home knows its own in a shared storage."""
    if settings.dagster_url_in_use is None:
        return settings.home.run / "code-server.sock"
    file = make_folder(settings.home.run) / "home-id"
    if not file.is_file():
        write_atomically(file, secrets.token_hex(4).encode())
    return settings.home.run / f"code-server-{file.read_text(encoding='ascii').strip()[:8]}.sock"
