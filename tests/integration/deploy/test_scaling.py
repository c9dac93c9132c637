"""The queries by which KEDA counts work, asked of a real ledger and Dagster's real tables by the user of the guide."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import DagsterRun, DagsterRunStatus
from dagster_postgres import PostgresRunStorage
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from squire_pipelines.domain.endings import Cause
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.dagster_storage import SCHEMA, storage_url_of
from tests.support.house import ROOT
from tests.support.ledgers import Clock, add_task, claim, dispatch, settle
from tests.support.manifests import by_key, with_components
from tests.support.page_commands import blocks

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

GUIDE = ROOT / "docs" / "guide" / "kubernetes.md"
ROLE = "squire_scaler"


def query_of(worker: str) -> str:
    objects = by_key(with_components("keda"))
    metadata: dict[str, Any] = objects["ScaledObject", "squire", f"squire-worker-{worker}"]["spec"]["triggers"][0][
        "metadata"
    ]
    assert metadata["userName"] == ROLE
    return str(metadata["query"])


@pytest.fixture(params=["postgres"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def administrator(ledger_url: str) -> Iterator[Connection]:
    engine = create_engine(make_url(ledger_url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        yield connection
        connection.execute(text(f"DROP SCHEMA {SCHEMA} CASCADE"))
        connection.execute(text(f"DROP OWNED BY {ROLE}"))
        connection.execute(text(f"DROP ROLE {ROLE}"))
    engine.dispose()


@pytest.fixture
def runs(administrator: Connection, ledger_url: str) -> Iterator[PostgresRunStorage]:
    """Dagster's own storage of runs, beside the ledger, with the guide's user that may read it."""
    storage = PostgresRunStorage(str(storage_url_of(ledger_url)), should_autocreate_tables=True)
    (statements,) = [block.text for block in blocks(GUIDE) if ROLE in block.text and "CREATE ROLE" in block.text]
    for statement in filter(str.strip, statements.split(";")):
        administrator.execute(text(statement))
    yield storage
    storage.dispose()


def count(connection: Connection, worker: str) -> int:
    """Return the answer to the query of a kind of workers, which the user of the guide asks."""
    connection.execute(text(f"SET ROLE {ROLE}"))
    try:
        return int(connection.execute(text(query_of(worker))).scalar_one())
    finally:
        connection.execute(text("RESET ROLE"))


@pytest.mark.usefixtures("runs")
def test_agents_work_is_what_is_under_way_and_what_waits_for_a_place(
    ledger: Ledger, administrator: Connection, clock: Clock
) -> None:
    clock.now = datetime.now(UTC) + timedelta(days=1)  # the query goes by the clock of Postgres
    assert count(administrator, "agent") == 0
    for _ in range(3):
        add_task(ledger)
    assert count(administrator, "agent") == 3
    first, _, third = dispatch(ledger)
    assert count(administrator, "agent") == 3
    settle(ledger, claim(ledger, first.id), Cause.COMPLETED)
    assert count(administrator, "agent") == 2
    settle(ledger, claim(ledger, third.id), Cause.LOST)  # it is tried again a while later
    assert count(administrator, "agent") == 1


def test_other_work_is_runs_that_are_not_over(administrator: Connection, runs: PostgresRunStorage) -> None:
    for job in ("collect", "plan", "follow", "repair_deliveries", "clean"):
        for status in DagsterRunStatus:
            run = DagsterRun(job_name=job, run_id=str(uuid.uuid4()))
            runs.add_run(run)
            change = text(
                "UPDATE dagster.runs SET status = :status WHERE run_id = :id"
            )  # a queued run needs a code server
            administrator.execute(change, {"status": status.value, "id": run.run_id})
    assert (count(administrator, "collect"), count(administrator, "follow")) == (8, 8)


@pytest.mark.usefixtures("runs")
def test_the_user_of_the_guide_reads_these_tables_alone_and_writes_none(administrator: Connection) -> None:
    administrator.execute(text(f"SET ROLE {ROLE}"))
    for action in ("SELECT 1 FROM workers", "SELECT 1 FROM audit", "DELETE FROM tasks", "DELETE FROM dagster.runs"):
        with pytest.raises(DBAPIError, match="permission denied"):
            administrator.execute(text(action))
    administrator.execute(text("RESET ROLE"))
