"""A home with settings, a ledger and a clock for the tests of alerts, and a receiver on loopback."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.model import Settings, load_settings
from tests.support.ledgers import Clock, sqlite_ledger_file
from tests.support.provider import DirectedProvider, plain, serve_upstream

Configure = Callable[[str], Settings]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Return what writes the settings of this test's home, in which the ledger is, and reads them."""
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    sqlite_ledger_file(tmp_path / "ledger.sqlite")

    def write(text: str) -> Settings:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return load_settings(path)

    return write


@pytest.fixture
def home_ledger(configure: Configure, clock: Clock) -> Iterator[Ledger]:
    """The home's ledger, at `clock`'s time."""
    opened = Ledger(configure("").resolved_ledger_url, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def receiver() -> Iterator[DirectedProvider]:
    """A receiver of messages that takes each."""
    with serve_upstream() as made:
        made.answer = plain(200, {})
        yield made
