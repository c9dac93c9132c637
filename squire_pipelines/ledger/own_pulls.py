"""Whether what GitHub says of a pull request's number is about the one that is ours."""

from sqlalchemy import select

from squire_pipelines.domain.outcomes import PullRequestReport
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import outcomes, tasks


def is_own_report(tx: Transaction, report: PullRequestReport) -> bool:
    """Return whether a report is about the pull request of ours that has its number.

    In a repository that was deleted and made again, or whose name another one has taken, it is somebody else's, which
    has neither our branch nor the head that we know.
    """
    query = (
        select(tasks.c.branch, outcomes.c.head_sha)
        .join(outcomes, outcomes.c.task_id == tasks.c.id)
        .where(outcomes.c.repository == report.repository, outcomes.c.pr_number == report.number)
    )
    row = tx.execute(query).one_or_none()
    return row is not None and (report.head_ref == row.branch or report.head_sha == row.head_sha)
