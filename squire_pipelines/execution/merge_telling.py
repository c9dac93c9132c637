"""Says on a pull request that Squire does not merge it any more, once, in our one comment."""

from squire_pipelines.domain.pull_comment import CommentPart
from squire_pipelines.errors import SquireError
from squire_pipelines.execution.follow_telling import published_text
from squire_pipelines.execution.following import SettingsOf
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.own_comments import put_part
from squire_pipelines.ledger import merges
from squire_pipelines.ledger.merges import MergeEnd
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.publishing.merge_words import merge_ended


def has_to_tell_merges(ledger: Ledger, settings_of: SettingsOf) -> bool:
    """Return whether there is a merge whose end is to be said on GitHub. Changes nothing."""
    with ledger.read() as tx:
        return any(_is_said(end, settings_of) for end in merges.to_tell(tx))


def _is_said(end: MergeEnd, settings_of: SettingsOf) -> bool:
    repository = end.outcome.repository
    return settings_of(repository).follow_for(repository).comment


async def tell_merges(ledger: Ledger, client: GitHubClient, settings_of: SettingsOf, log: RunLog) -> int:
    """Say how merges ended that are none; return of how many. What fails is tried again later, a few times."""
    with ledger.read() as tx:
        ends = [end for end in merges.to_tell(tx) if _is_said(end, settings_of)]
    count = 0
    for end in ends:
        outcome = end.outcome
        with ledger.write() as tx:
            tries = merges.begin_telling(tx, outcome.task_id)
        if tries is None:
            continue
        text = published_text(settings_of(outcome.repository), merge_ended(end.progress, end.reason))
        error = None
        try:
            await put_part(client, outcome.repository, outcome.pr_number, CommentPart.MERGE, text)
            count += 1
        except SquireError as failure:
            error = str(failure)
            log.warning("%s#%d: not said there: %s", outcome.repository, outcome.pr_number, error)
        with ledger.write() as tx:
            merges.record_telling(tx, end, tries, error)
    return count
