"""Fixtures for the local runner with real git and the real entrypoint."""

from pathlib import Path

import pytest

from tests.support.attempts import Origin, make_origin


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return make_origin(tmp_path)
