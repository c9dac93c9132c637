"""Which attempt of a task has finished work that was not published."""

from collections.abc import Sequence

from squire_pipelines.domain.endings import Cause
from squire_pipelines.ledger.attempts import Attempt

_SAY_NOTHING_OF_THE_WORK = frozenset(
    {
        Cause.PUBLISH_REFUSED,
        Cause.GITHUB_UNAVAILABLE,
        Cause.STORE_UNAVAILABLE,
        Cause.NOT_STARTED,
        Cause.LOST,
        Cause.CANCELLED,
        Cause.DISK_FULL,
    }
)
"""What the policy refused, and a bad bundle, is for an agent to do again."""


def with_unpublished_work(ended: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt whose work is to be published as it is kept; None where an agent has to run.

    Args:
        ended: The task's ended attempts, first to last.
    """
    for attempt in reversed(ended):
        if attempt.cause not in _SAY_NOTHING_OF_THE_WORK:
            return None
        # The head is written when the bundle is stored.
        if attempt.head_sha is not None:
            return attempt
        # One that ended before an agent ran, since GitHub was away or its run died, left nothing.
        if attempt.agent_started_at is not None:
            return None
    return None
