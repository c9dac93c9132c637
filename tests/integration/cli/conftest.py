from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.ledger.store import open_ledger
from tests.support.cli import SampleData, Squire


@pytest.fixture
def squire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Squire:
    home = tmp_path / "home"
    monkeypatch.setenv("SQUIRE_HOME", str(home))
    return Squire(home)


@pytest.fixture
def samples(squire: Squire) -> Iterator[SampleData]:
    ledger = open_ledger(f"sqlite:///{squire.home / 'ledger.sqlite'}")
    yield SampleData(ledger)
    ledger.close()
