"""Fixtures of the soak tests."""

from tests.support.demos import start_demo
from tests.support.forge import forge, forge_home, hosted_home, samples
from tests.support.pipeline import pipeline, quiet_pipeline

__all__ = ["forge", "forge_home", "hosted_home", "pipeline", "quiet_pipeline", "samples", "start_demo"]
