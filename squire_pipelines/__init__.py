"""Squire keeps GitHub repositories in good order.

The folders and what belongs in each are drawn in `docs/reference/architecture.md`. This module holds nothing
but the version, so that importing a library of ours never imports Dagster.
"""

__version__ = "0.1.0"
