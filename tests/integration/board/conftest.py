"""A board over sample data in a ledger of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.support.boards import open_board
from tests.support.cli import SampleData
from tests.support.ledgers import new_sqlite_ledger


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[SampleData]:
    """Work in the ledger of the test's home."""
    ledger = new_sqlite_ledger(tmp_path / "home" / "ledger.sqlite")
    yield SampleData(ledger)
    ledger.close()


@pytest.fixture
def browser(samples: SampleData) -> Iterator[TestClient]:
    """Somebody who uses the board."""
    with open_board(samples.ledger) as board:
        yield board
