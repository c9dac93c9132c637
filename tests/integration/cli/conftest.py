from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.ledger.store import open_ledger
from tests.support.cli import Squire, UsageRecorder


@pytest.fixture
def squire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Squire:
    home = tmp_path / "home"
    monkeypatch.setenv("SQUIRE_HOME", str(home))
    return Squire(home)


@pytest.fixture
def books(squire: Squire) -> Iterator[UsageRecorder]:
    ledger = open_ledger(f"sqlite:///{squire.home / 'ledger.sqlite'}")
    yield UsageRecorder(ledger)
    ledger.close()
