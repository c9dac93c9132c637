"""Counting in a process of ours, and one line in its log when that is not possible."""

from functools import partial
from pathlib import Path

from squire_pipelines.metrics.counting import start_counting
from squire_pipelines.observability.logging import Component, Logger, get_logger


def count_process(component: Component, folder: Path) -> None:
    """Have this process count from now on, in a file in `folder`; a failure is logged once, and ends nothing."""
    start_counting(folder, on_failure=partial(_log_failure, get_logger(component)))


def _log_failure(log: Logger, error: OSError) -> None:
    log.warning("process_not_counted", error=str(error))
