"""This process's log lines, as a test reads them. An area takes the fixture into its conftest.py by import."""

import io
import json
from typing import Any

import pytest

from squire_pipelines.observability.logging import Component, configure_logging


@pytest.fixture
def stream() -> io.StringIO:
    """What is written while this process's logs are set up as the command's are."""
    stream = io.StringIO()
    configure_logging(Component.CLI, stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the lines that were written, as objects."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]
