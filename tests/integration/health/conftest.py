"""A home with settings, and GitHub on loopback that a test directs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from squire_pipelines.settings.model import Settings, load_settings
from tests.support.provider import DirectedProvider, serve_upstream

Configure = Callable[[str], Settings]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Return what writes the settings of this test's home and reads them."""

    def write(text: str) -> Settings:
        path = tmp_path / "home" / "config.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return load_settings(path)

    return write


@pytest.fixture
def upstream() -> Iterator[DirectedProvider]:
    """Yield a server on loopback."""
    with serve_upstream() as made:
        yield made
