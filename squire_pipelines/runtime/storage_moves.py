"""What goes along when Dagster's storage moves from the home's files to Postgres, or back, by Dagster's own API.

The keys of partitions and the states of sensors and schedules: whether a person has stopped them, and up to where they
have looked. The history of runs stays where it is.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from squire_pipelines.errors import NotReachableError
from squire_pipelines.partitions import REPOSITORIES
from squire_pipelines.runtime.dagster_home import open_instance, storage_mark
from squire_pipelines.settings.dagster_storage import SCHEMA, VARIABLE
from squire_pipelines.settings.model import Settings

_LOCK = 0x5371_6461_6773  # of Postgres, by which one process of all machines makes the tables at a time


@dataclass(frozen=True, slots=True)
class CopiedStates:
    """How many keys of partitions, and states of sensors and schedules, went along."""

    partitions: int
    states: int


def copy_states(old: dg.DagsterInstance, new: dg.DagsterInstance) -> CopiedStates:
    """Have one storage go on where another one is. What the new one has and the old one has not stays."""
    partitions = list(old.get_dynamic_partitions(REPOSITORIES))
    if partitions:
        new.add_dynamic_partitions(REPOSITORIES, partitions)
    states = old.all_instigator_state()
    known = {state.selector_id for state in new.all_instigator_state()}
    for state in states:
        if state.selector_id in known:
            new.update_instigator_state(state)
        else:
            new.add_instigator_state(state)
    return CopiedStates(len(partitions), len(states))


@contextmanager
def open_files(dagster_home: Path) -> Iterator[dg.DagsterInstance]:
    """Open the storage in the files of a home, which are made if need be, whatever its `dagster.yaml` names."""
    with _opened({"sqlite": {"base_dir": str(dagster_home)}}) as instance:
        yield instance


@contextmanager
def open_tables(url: str) -> Iterator[dg.DagsterInstance]:
    """Open the storage on Postgres at `url`, which is made if need be, whatever the home's `dagster.yaml` names."""
    os.environ[VARIABLE] = url
    with schema_to_make(url), _opened({"postgres": {"postgres_url": {"env": VARIABLE}}}) as instance:
        yield instance


@contextmanager
def _opened(storage: Mapping[str, object]) -> Iterator[dg.DagsterInstance]:
    with tempfile.TemporaryDirectory(prefix="squire-storage-") as folder:
        settings = {"telemetry": {"enabled": False}, "storage": storage}
        (Path(folder) / "dagster.yaml").write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
        with dg.DagsterInstance.from_config(folder) as instance:
            yield instance


def carry_states(settings: Settings, ledger_url: str) -> CopiedStates | None:
    """Have the storage beside another ledger go on where the home's is; None where they are one, or nothing ever ran.

    Args:
        settings: As they are.
        ledger_url: Of the other ledger.

    Raises:
        NotReachableError: Postgres does not answer.
    """
    url = settings.model_copy(update={"ledger_url": ledger_url}).dagster_storage_url
    if url == settings.dagster_storage_url or not storage_mark(settings).exists():
        return None
    with (
        open_instance(settings) if settings.dagster_url_in_use else open_files(settings.home.dagster) as old,
        open_files(settings.home.dagster) if url is None else open_tables(url) as new,
    ):
        return copy_states(old, new)


@contextmanager
def schema_to_make(url: str) -> Iterator[None]:
    """Make the schema where there is none, and keep out others who would make its tables until the block ends.

    Raises:
        NotReachableError: The server does not answer, or does not let this user make a schema.
    """
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            yield  # the lock goes with the connection
    except SQLAlchemyError as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())[:300]
        raise NotReachableError(
            f"Dagster's storage on Postgres cannot be made: {reason}",
            hint="check the server, and that its user may create a schema in this database",
        ) from error
    finally:
        engine.dispose()
