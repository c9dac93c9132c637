"""A ledger on SQLite whose clock the test moves, and the place of its warehouse."""

from collections.abc import Callable
from pathlib import Path

import pytest

from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.warehouse.publish import Publication, publish_warehouse
from tests.support.ledgers import Clock, sqlite_ledger_file


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock, open_at: Callable[..., Ledger]) -> Ledger:
    return open_at(f"sqlite:///{sqlite_ledger_file(tmp_path / 'ledger.sqlite')}", clock=clock)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "data" / "warehouse.duckdb"


@pytest.fixture
def publish(ledger: Ledger, warehouse: Path) -> Callable[[], Publication]:
    """Publish the test's ledger."""
    return lambda: publish_warehouse(ledger, warehouse, WarehouseSettings(memory_limit=256 * 2**20), wait_s=10)
