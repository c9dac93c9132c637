"""Fixtures of the demo's tests."""

from tests.support.demos import start_demo

__all__ = ["start_demo"]
