from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import SampleData, Squire
from tests.support.ledgers import new_sqlite_ledger


@pytest.fixture
def squire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Squire:
    home = tmp_path / "home"
    monkeypatch.setenv("SQUIRE_HOME", str(home))
    return Squire(home)


@pytest.fixture
def samples(squire: Squire) -> Iterator[SampleData]:
    ledger = new_sqlite_ledger(squire.home / "ledger.sqlite")
    yield SampleData(ledger)
    ledger.close()
