"""Pull requests of ours that GitHub no longer shows: they are left to people, until it shows them again."""

from collections.abc import Collection
from datetime import timedelta

from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.ledger import followed_pulls
from squire_pipelines.ledger.followed_pulls import read_followed
from squire_pipelines.ledger.store import Transaction

VANISHED = "GitHub no longer shows it: it was deleted, or the token may not see it any more"
"""Why such a pull request is left to people; there it cannot be said."""

_KNOWN_AFTER = timedelta(minutes=10)
"""A pull request that was opened so lately may not be known to all of GitHub's servers yet."""


def record_shown(tx: Transaction, *, asked: Collection[str], shown: Collection[str]) -> tuple[str, ...]:
    """Record which pull requests GitHub shows; return the tasks of those that have vanished just now.

    Args:
        tx: The transaction.
        asked: The tasks of the pull requests that GitHub was asked about, and has answered.
        shown: Those of them that it showed.
    """
    vanished = []
    for followed in read_followed(tx, task_ids=asked):
        outcome = followed.outcome
        is_gone = outcome.task_id not in shown
        if is_gone and outcome.handed_over is None and outcome.state is PullRequestState.OPEN:
            if outcome.opened_at < tx.now - _KNOWN_AFTER:
                followed_pulls.record_state(tx, followed, FollowState.HANDED_OVER, VANISHED, handed_over=VANISHED)
                vanished.append(outcome.task_id)
        elif not is_gone and outcome.handed_over == VANISHED:
            followed_pulls.record_state(tx, followed, FollowState.WAITING_FOR_CI, "GitHub shows it again")
    return tuple(vanished)
