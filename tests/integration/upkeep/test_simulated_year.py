"""Days pass in a home: what is older than its retention has gone to the archive, and nothing is lost."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import func, select

from squire_pipelines.ledger.tables import metadata
from squire_pipelines.settings.model import Settings
from squire_pipelines.upkeep.growth import measure_growth
from tests.support.simulated_year import REPOSITORIES, SOURCES, SimulatedYear, YearSize

SIZE = YearSize(days=10, attempts=120, deliveries=50, readings_per_day=1)


@pytest.mark.slow
def test_what_is_old_is_in_the_archive_and_all_of_it_in_the_warehouse(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    year = SimulatedYear(home, tmp_path, size=SIZE, end=datetime(2026, 6, 1, tzinfo=UTC))
    year.pass_days(SIZE.days)
    with year.ledger.read() as tx:
        left = {
            name: tx.execute(select(func.count()).select_from(metadata.tables[name])).scalar_one()
            for name in ("tasks", "deliveries", "collections", "archived_tasks")
        }
    beyond = [size.name for size in measure_growth(Settings(), year.ledger) if size.is_beyond]
    year.close()
    readings = len(REPOSITORIES) * len(SOURCES)
    assert left["tasks"] + left["archived_tasks"] == 100
    assert left["archived_tasks"] > 20
    assert (left["deliveries"], left["collections"]) == (35, 7 * readings)
    assert beyond == []
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as warehouse:
        for table, count in (("tasks", 100), ("deliveries", 50), ("collections", 10 * readings)):
            assert warehouse.execute(f"SELECT count(*) FROM {table}").fetchone() == (count,)  # noqa: S608 - written here
