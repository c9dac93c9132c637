"""Asks GitHub again, after growing waits, for what it refused in passing: its trouble, a limit, a connection.

Only for work that may be repeated. What GitHub refuses for good, and what lasts beyond the tries, is the caller's.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from squire_pipelines.domain.endings import retry_delay_s
from squire_pipelines.errors import GitHubRateLimitError, GitHubUnavailableError
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.sections.tasks import PublishingSettings

_log = get_logger(Component.PUBLISHER)
_jitter = random.SystemRandom()  # the numbers of another would be the same in all runs, which are forked
_T = TypeVar("_T")


async def try_again(work: Callable[[], Awaitable[_T]], *, settings: PublishingSettings) -> _T:
    """Return what `work` returns, after as many tries as the settings permit. Raises what the last of them raised.

    A limit that GitHub states is waited for when it is no longer than the longest wait.
    """
    for number in range(1, settings.tries):
        try:
            return await work()
        except (GitHubUnavailableError, GitHubRateLimitError) as error:
            wait_s = retry_delay_s(number, base_s=settings.retry_base_s, cap_s=settings.retry_cap_s, jitter=_jitter)
            if isinstance(error, GitHubRateLimitError):
                if error.retry_after_s > settings.retry_cap_s:
                    raise
                wait_s = max(wait_s, error.retry_after_s)
            _log.warning("publication.tried_again", reason=str(error), number=number, wait_s=round(wait_s, 1))
        await asyncio.sleep(wait_s)
    return await work()
