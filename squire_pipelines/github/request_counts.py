"""What is counted of requests to GitHub: how many, with which answers, how long they took, and what was sent again."""

import time

from stamina.instrumentation import RetryDetails

from squire_pipelines.domain.rate_limits import LimitKind
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families
from squire_pipelines.observability.logging import Component, get_logger

_log = get_logger(Component.GITHUB)


def count_request(kind: LimitKind, code: int | None, began: float) -> None:
    """Count a request that was sent.

    Args:
        kind: The limit that it counts for.
        code: Of the answer; None where none came.
        began: When it was sent, by the monotonic clock.
    """
    metrics.count(families.GITHUB_REQUESTS, kind, "none" if code is None else str(code))
    metrics.observe(families.GITHUB_DURATION, time.monotonic() - began, kind)


def count_retry(details: RetryDetails) -> None:
    """Count and log a request that is sent again, without its arguments."""
    cause, wait_s = str(details.caused_by), round(details.wait_for, 1)
    _log.warning("github.request_repeated", cause=cause, retry=details.retry_num, wait_s=wait_s)
    metrics.count(families.GITHUB_RETRIES)
