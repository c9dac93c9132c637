"""The pipeline without a forge, and an engine."""

from tests.support.pipeline import quiet_pipeline

__all__ = ["quiet_pipeline"]
