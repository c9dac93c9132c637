"""Asks GitHub what a pull request of ours is like now, where what follows must not rest on an older word."""

from squire_pipelines.domain.outcomes import PullRequestReport
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.pull_request_reports import pull_request_reports
from squire_pipelines.ledger import outcomes
from squire_pipelines.ledger.own_pulls import is_own_report
from squire_pipelines.ledger.store import Ledger


async def record_present_pull(
    client: GitHubClient, ledger: Ledger, repository: str, number: int, *, actor: str = "poll"
) -> PullRequestReport | None:
    """Record and return what GitHub says of a pull request of ours; None where it is gone, or is somebody else's.

    Raises GitHubError.
    """
    answered = await pull_request_reports(client, {repository: [number]})
    if (error := answered.error_of(repository, number)) is not None:
        raise error
    report = answered.reports.get((repository, number))
    with ledger.write() as tx:
        if report is None or not is_own_report(tx, report):
            return None
        outcomes.apply_report(tx, report, actor=actor)
    return report
