"""What became of many pull requests at once: one request for each fifty. Reads only.

A repository's signals are read by `collecting`; pull requests are written by `pulls`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from squire_pipelines.domain.outcomes import Mergeability, PullRequestReport, PullRequestState, ReviewDecision
from squire_pipelines.errors import GitHubNotFoundError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import Text, WithHead, parse
from squire_pipelines.github.query_texts import load_query
from squire_pipelines.github.signals import checks_state

REPORTS_PER_QUERY = 50
_STATES = {"OPEN": PullRequestState.OPEN, "CLOSED": PullRequestState.CLOSED, "MERGED": PullRequestState.MERGED}
_MERGES = {"MERGEABLE": Mergeability.MERGEABLE, "CONFLICTING": Mergeability.CONFLICTING}
_REVIEWS = {decision.upper(): decision for decision in ReviewDecision}


class _ReportedPullRequest(WithHead):
    """A pull request in any state, as it is followed."""

    number: int
    url: str
    state: Literal["OPEN", "CLOSED", "MERGED"]
    head_ref_name: Text
    head_ref_oid: str
    updated_at: datetime
    merged_at: datetime | None = None
    closed_at: datetime | None = None
    is_draft: bool = False
    mergeable: str = "UNKNOWN"
    merge_state_status: str = "UNKNOWN"
    review_decision: str | None = None


async def pull_request_reports(
    client: GitHubClient, repository: str, numbers: Iterable[int]
) -> Mapping[int, PullRequestReport]:
    """Return what GitHub says of many pull requests of one repository, by number, in one request for each 50.

    Numbers that do not exist are left out. Raises GitHubError for any other missing part.
    """
    owner, _, name = repository.partition("/")
    unique = sorted(set(numbers))
    reports: dict[int, PullRequestReport] = {}
    for start in range(0, len(unique), REPORTS_PER_QUERY):
        chunk = unique[start : start + REPORTS_PER_QUERY]
        request = f"the query for {len(chunk)} pull requests"
        answer = await client.execute(batch_query(chunk), {"owner": owner, "name": name}, request=request)
        for failed in answer.errors:
            if not (isinstance(failed.error, GitHubNotFoundError) and len(failed.path) > 1):
                raise failed.error
        fields = answer.data.get("repository") or {}
        for number in chunk:
            if (data := fields.get(f"pr{number}")) is not None:
                reports[number] = _report(repository, parse(_ReportedPullRequest, data, request=request))
    return reports


def batch_query(numbers: Sequence[int]) -> str:
    """Return one GraphQL document that asks for several pull requests, each under the alias `pr<number>`."""
    fields = "\n".join(f"    pr{int(number)}: pullRequest(number: {int(number)}) {{ ...Report }}" for number in numbers)
    head = "query PullRequestReports($owner: String!, $name: String!) {\n  repository(owner: $owner, name: $name) {\n"
    return f"{head}{fields}\n  }}\n}}\n{load_query('report')}"


def _report(repository: str, pull: _ReportedPullRequest) -> PullRequestReport:
    return PullRequestReport(
        repository=repository,
        number=pull.number,
        url=pull.url,
        head_ref=pull.head_ref_name,
        head_sha=pull.head_ref_oid,
        state=_STATES[pull.state],
        updated_at=pull.updated_at,
        merged_at=pull.merged_at,
        closed_at=pull.closed_at,
        checks=checks_state(pull.head.status_check_rollup if pull.head else None),
        mergeability=_mergeability(pull),
        review_decision=_REVIEWS.get(pull.review_decision or "", ReviewDecision.NONE),
        draft=pull.is_draft,
    )


def _mergeability(pull: _ReportedPullRequest) -> Mergeability:
    if pull.mergeable == "MERGEABLE" and pull.merge_state_status == "BEHIND":
        return Mergeability.BEHIND
    return _MERGES.get(pull.mergeable, Mergeability.UNKNOWN)
