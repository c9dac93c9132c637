"""This process's log lines."""

from tests.support.logs import stream

__all__ = ["stream"]
