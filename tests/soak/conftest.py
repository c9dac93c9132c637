"""Fixtures of the soak tests."""

from tests.support.demos import start_demo

__all__ = ["start_demo"]
