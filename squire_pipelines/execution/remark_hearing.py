"""Shows people on GitHub that their remarks were heard, when the work on them begins: with 👀, once for each round."""

from squire_pipelines.domain.signals import SignalKind
from squire_pipelines.domain.tasks import FollowUpKind
from squire_pipelines.errors import SquireError
from squire_pipelines.execution.following import SettingsOf
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.remark_answers import PullPlace, show_heard
from squire_pipelines.ledger import followed_pulls, heard_remarks
from squire_pipelines.ledger.followed_pulls import Followed, OwnWork
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.run_log import RunLog


def has_to_show(ledger: Ledger, settings_of: SettingsOf) -> bool:
    """Return whether remarks are still to be shown as heard. Changes nothing."""
    return bool(_unheard(ledger, settings_of))


async def show_what_was_heard(ledger: Ledger, client: GitHubClient, settings_of: SettingsOf, log: RunLog) -> int:
    """React to the remarks on which work has begun; return of how many rounds. What fails is tried a few times.

    A crash in between reacts again, which changes nothing on GitHub.
    """
    shown = 0
    for followed, work in _unheard(ledger, settings_of):
        with ledger.write() as tx:
            tries = heard_remarks.begin(tx, work.task_id)
        if tries is None:
            continue
        outcome, error = followed.outcome, None
        prefix = f"{SignalKind.REVIEW_FINDING}:"
        try:
            place = PullPlace(outcome.repository, outcome.pr_number)
            await show_heard(client, place, [ref.removeprefix(prefix) for ref in work.signals])
            shown += 1
        except SquireError as failure:
            error = str(failure)
            log.warning("%s#%d: remarks could not be reacted to: %s", outcome.repository, outcome.pr_number, error)
        with ledger.write() as tx:
            heard_remarks.end(tx, work.task_id, tries=tries, error=error)
    return shown


def _unheard(ledger: Ledger, settings_of: SettingsOf) -> list[tuple[Followed, OwnWork]]:
    """Return the work on remarks that is under way and not shown; of what has ended, the answer says enough."""
    with ledger.read() as tx:
        begun = [
            (followed, work)
            for followed in followed_pulls.read_followed(tx)
            for work in followed.work
            if work.follow_up is not None
            and work.follow_up.kind is FollowUpKind.REMARKS
            and not work.status.is_final
            and settings_of(followed.outcome.repository).publishing.reactions
        ]
        unheard = heard_remarks.without_heard(tx, [work.task_id for _, work in begun])
    return [(followed, work) for followed, work in begun if work.task_id in unheard]
