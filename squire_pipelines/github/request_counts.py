"""What is counted of requests to GitHub: how many, with which answers, how long they took, and what was sent again."""

import time

from squire_pipelines.domain.rate_limits import LimitKind
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families


def count_request(kind: LimitKind, code: int | None, began: float) -> None:
    """Count a request that was sent.

    Args:
        kind: The limit that it counts for.
        code: Of the answer; None where none came.
        began: When it was sent, by the monotonic clock.
    """
    metrics.count(families.GITHUB_REQUESTS, kind, "none" if code is None else str(code))
    metrics.observe(families.GITHUB_DURATION, time.monotonic() - began, kind)


def count_retry() -> None:
    """Count a request that is sent again."""
    metrics.count(families.GITHUB_RETRIES)
