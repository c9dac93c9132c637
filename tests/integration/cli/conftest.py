from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import SampleData, Squire
from tests.support.ledgers import new_sqlite_ledger
from tests.support.secret_store_faults import cheap_store, passphrase


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


@pytest.fixture
def store_file(squire: Squire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An encrypted file that costs nothing to open, whose passphrase a file gives."""
    path = squire.home / "secrets.sealed"
    cheap_store(path).create(passphrase())
    file = tmp_path / "passphrase"
    file.write_text(passphrase().reveal())
    monkeypatch.setenv("SQUIRE_SECRETS_PASSPHRASE_FILE", str(file))
    return path
