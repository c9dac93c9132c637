"""What goes along when Dagster's storage moves from the home's files to Postgres, or back, by Dagster's own API.

The keys of partitions and the states of sensors and schedules: whether a person has stopped them, and up to where they
have looked. The history of runs stays where it is.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from squire_pipelines.errors import NotReachableError
from squire_pipelines.partitions import REPOSITORIES
from squire_pipelines.settings.dagster_storage import SCHEMA

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
    with tempfile.TemporaryDirectory(prefix="squire-storage-") as folder:
        settings = {"telemetry": {"enabled": False}, "storage": {"sqlite": {"base_dir": str(dagster_home)}}}
        (Path(folder) / "dagster.yaml").write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
        with dg.DagsterInstance.from_config(folder) as instance:
            yield instance


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
