"""Closes pull requests of ours on which nothing has happened for long, where the settings say after how long.

That Squire sets about it is recorded before, so that the close is known to be ours whenever the process ends. Why it
was closed is said in one comment afterwards, which is tried a few times.
"""

from datetime import datetime, timedelta

from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.pull_comment import CommentPart
from squire_pipelines.domain.pull_endings import expiry_reason
from squire_pipelines.errors import SquireError
from squire_pipelines.execution.following import SettingsOf
from squire_pipelines.execution.present_pull import record_present_pull
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.own_comments import put_part
from squire_pipelines.github.pulls import close_pull_request
from squire_pipelines.ledger import expiring_pulls, followed_pulls
from squire_pipelines.ledger.followed_pulls import Followed
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.telling_tries import MAX_TRIES
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.publishing.follow_words import expired
from squire_pipelines.settings.model import Settings

MAX_CLOSED = 10
"""So many are closed in one look."""


def has_to_expire(ledger: Ledger, settings_of: SettingsOf) -> bool:
    """Return whether pull requests are to be closed, or to be told why they were. Changes nothing."""
    with ledger.read() as tx:
        return bool(_due(tx, settings_of) or expiring_pulls.untold(tx))


async def expire_pulls(ledger: Ledger, client: GitHubClient, settings_of: SettingsOf, log: RunLog) -> int:
    """Close those on which nothing has happened, and say why on them; return how many were closed.

    GitHub is asked before each whether that is still so.
    """
    with ledger.write() as tx:
        idle = _idle(tx, settings_of)
        active = expiring_pulls.begun(tx) - {followed.outcome.task_id for followed in idle}
        expiring_pulls.forget_expiry(tx, active)
        due = _due(tx, settings_of)
    closed = 0
    for followed in due[:MAX_CLOSED]:
        outcome = followed.outcome
        try:
            closed += await _close(ledger, client, followed, settings_of(outcome.repository))
        except SquireError as error:
            log.warning("%s#%d: it could not be closed: %s", outcome.repository, outcome.pr_number, error)
    await _say_why(ledger, client, log)
    return closed


def _due(tx: Transaction, settings_of: SettingsOf) -> list[Followed]:
    """Return the idle pull requests that may be closed by now: one that could not be is tried again later."""
    begun_lately = expiring_pulls.begun(tx, lately=True)
    return [followed for followed in _idle(tx, settings_of) if followed.outcome.task_id not in begun_lately]


def _idle(tx: Transaction, settings_of: SettingsOf) -> list[Followed]:
    """Return the open pull requests that have expired, those first on which nothing happened for longest."""
    followed_ones = [
        followed
        for followed in followed_pulls.read_followed(tx)
        if followed.under_way is None and _expires_days(settings_of(followed.outcome.repository), followed.outcome)
    ]
    since = expiring_pulls.idle_since(tx, [followed.outcome.task_id for followed in followed_ones])
    idle = []
    for followed in followed_ones:
        outcome, begun = followed.outcome, since.get(followed.outcome.task_id)
        if begun is not None and _reason(begun, settings_of(outcome.repository), outcome, tx.now) is not None:
            idle.append(followed)
    return sorted(idle, key=lambda followed: since[followed.outcome.task_id])


def _expires_days(settings: Settings, outcome: Outcome) -> float:
    return settings.follow_for(outcome.repository).expires_days


def _reason(since: datetime, settings: Settings, outcome: Outcome, now: datetime) -> str | None:
    return expiry_reason(now - since, timedelta(days=_expires_days(settings, outcome)))


async def _close(ledger: Ledger, client: GitHubClient, followed: Followed, settings: Settings) -> bool:
    """Close one on which nothing has happened, by GitHub's present word; return whether it was closed."""
    outcome = followed.outcome
    with ledger.write() as tx:
        reason = _present_reason(tx, outcome, settings)
        if reason is None or not expiring_pulls.begin_expiry(tx, outcome.task_id, reason):
            return False
    if await _ask(ledger, client, outcome) is None:
        return False
    with ledger.write() as tx:
        if _present_reason(tx, outcome, settings) is None:
            expiring_pulls.forget_expiry(tx, [outcome.task_id])
            return False
    await close_pull_request(client, outcome.repository, outcome.pr_number)
    return await _ask(ledger, client, outcome) is PullRequestState.CLOSED


def _present_reason(tx: Transaction, outcome: Outcome, settings: Settings) -> str | None:
    since = expiring_pulls.idle_since(tx, [outcome.task_id]).get(outcome.task_id)
    return None if since is None else _reason(since, settings, outcome, tx.now)


async def _ask(ledger: Ledger, client: GitHubClient, outcome: Outcome) -> PullRequestState | None:
    """Record what GitHub says of a pull request now; return its state, None where it is gone."""
    report = await record_present_pull(client, ledger, outcome.repository, outcome.pr_number)
    return None if report is None else report.state


async def _say_why(ledger: Ledger, client: GitHubClient, log: RunLog) -> None:
    with ledger.read() as tx:
        untold = expiring_pulls.untold(tx)
    for pull in untold:
        with ledger.write() as tx:
            tries = followed_pulls.begin_telling(tx, pull.task_id)
        if tries is None:
            continue
        error = None
        try:
            await put_part(client, pull.repository, pull.number, CommentPart.ENDING, expired(pull.reason))
        except SquireError as failure:
            error = str(failure)
            log.warning("%s#%d: why it was closed could not be said: %s", pull.repository, pull.number, error)
        with ledger.write() as tx:
            if error is None or tries >= MAX_TRIES:
                followed_pulls.record_announced(tx, pull.task_id, pull.reason)
                followed_pulls.end_telling(tx, pull.task_id, error=error)
            else:
                followed_pulls.record_tell_error(tx, pull.task_id, error)
