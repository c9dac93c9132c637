"""What became of many pull requests at once, of whatever repositories: one request for each fifty. Reads only.

A repository's signals are read by `collecting`; pull requests are written by `pulls`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from squire_pipelines.domain.outcomes import (
    ChecksState,
    Mergeability,
    PullRequestReport,
    PullRequestState,
    ReviewDecision,
)
from squire_pipelines.errors import (
    GitHubError,
    GitHubNotFoundError,
    GitHubUnavailableError,
    GitHubValidationError,
)
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GraphQLModel, Text, WithHead, parse
from squire_pipelines.github.protocol import FieldError
from squire_pipelines.github.query_texts import load_query
from squire_pipelines.github.signals import checks_state

REPORTS_PER_QUERY = 50
_MAX_HALVINGS = 6
"""Of one query: enough to find one pull request among fifty, and few where GitHub answers nothing at all."""

_STATES = {"OPEN": PullRequestState.OPEN, "CLOSED": PullRequestState.CLOSED, "MERGED": PullRequestState.MERGED}
_MERGES = {"MERGEABLE": Mergeability.MERGEABLE, "CONFLICTING": Mergeability.CONFLICTING}
_REVIEWS = {decision.upper(): decision for decision in ReviewDecision}


class _Target(GraphQLModel):
    oid: str


class _BaseRef(GraphQLModel):
    target: _Target | None = None


class _ReportedPullRequest(WithHead):
    """A pull request in any state, as it is followed."""

    number: int
    url: str
    state: Literal["OPEN", "CLOSED", "MERGED"]
    head_ref_name: Text
    head_ref_oid: str
    base_ref_name: Text | None = None
    base_ref: _BaseRef | None = None
    updated_at: datetime
    merged_at: datetime | None = None
    closed_at: datetime | None = None
    is_draft: bool = False
    mergeable: str = "UNKNOWN"
    merge_state_status: str = "UNKNOWN"
    review_decision: str | None = None

    @property
    def checks(self) -> ChecksState:
        """What the checks of its head say; they are waited for where GitHub shows those of another commit."""
        if self.head is not None and self.head.oid not in {"", self.head_ref_oid}:
            return ChecksState.PENDING
        return checks_state(self.head.status_check_rollup if self.head else None)


@dataclass(slots=True)
class PullRequestReports:
    """What GitHub says of pull requests, by repository and number, and why it says nothing of those of a repository.

    `unread` has those of which alone it says nothing, such as one with more checks than it can add up in time.
    """

    reports: dict[tuple[str, int], PullRequestReport] = field(default_factory=dict)
    errors: dict[str, GitHubError] = field(default_factory=dict)
    unread: dict[tuple[str, int], GitHubError] = field(default_factory=dict)

    def error_of(self, repository: str, number: int) -> GitHubError | None:
        """Return why GitHub says nothing of a pull request; None where it does, or shows none."""
        return self.errors.get(repository) or self.unread.get((repository, number))


async def pull_request_reports(client: GitHubClient, pulls: Mapping[str, Iterable[int]]) -> PullRequestReports:
    """Return what GitHub says of many pull requests of many repositories, in one request for each 50.

    Numbers that do not exist are left out. An error of one repository is its own: where GitHub does not answer a whole
    query, that is asked again in halves, down to the one pull request that it cannot answer.
    """
    answered = PullRequestReports()
    by_credential: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for repository, numbers in pulls.items():
        try:
            credential = await client.credential(repository)
        except GitHubError as error:
            answered.errors[repository] = error
            continue
        by_credential[credential] += [(repository, number) for number in sorted(set(numbers))]
    for named in by_credential.values():
        for start in range(0, len(named), REPORTS_PER_QUERY):
            await _ask(client, named[start : start + REPORTS_PER_QUERY], answered, halvings=[])
    return answered


async def _ask(
    client: GitHubClient, named: Sequence[tuple[str, int]], answered: PullRequestReports, *, halvings: list[int]
) -> None:
    request = f"the query for {len(named)} pull requests"
    numbers: dict[str, list[int]] = defaultdict(list)
    for repository, number in named:
        numbers[repository].append(number)
    variables: dict[str, object] = {}
    for place, repository in enumerate(numbers):
        owner, _, name = repository.partition("/")
        variables |= {f"owner{place}": owner, f"name{place}": name}
    try:
        document = batch_query(list(numbers.values()))
        answer = await client.execute(document, variables, request=request, repository=named[0][0])
    except GitHubError as error:
        is_of_query = (
            isinstance(error, GitHubUnavailableError | GitHubValidationError) and "reason" not in error.context
        )
        if is_of_query and len(named) > 1 and len(halvings) < _MAX_HALVINGS:
            middle = len(named) // 2
            halvings.append(middle)
            await _ask(client, named[:middle], answered, halvings=halvings)
            await _ask(client, named[middle:], answered, halvings=halvings)
        else:
            answered.unread |= dict.fromkeys(named, error)
        return
    # An error without a path is one of all.
    failed = {tuple(map(str, part.path[:2])): part.error for part in answer.errors if not _is_missing_number(part)}
    for place, (repository, chunk) in enumerate(numbers.items()):
        if (missing := failed.get((f"r{place}",)) or failed.get(())) is not None:
            answered.errors[repository] = missing
            continue
        fields = answer.data.get(f"r{place}") or {}
        for number in chunk:
            if (hidden := failed.get((f"r{place}", f"pr{number}"))) is not None:
                answered.unread[repository, number] = hidden
            elif (data := fields.get(f"pr{number}")) is not None:
                _read(answered, repository, number, data, request)


def _read(answered: PullRequestReports, repository: str, number: int, data: object, request: str) -> None:
    try:
        pull = parse(_ReportedPullRequest, data, request=request)
    except GitHubError as error:
        answered.unread[repository, number] = error
    else:
        answered.reports[repository, number] = _report(repository, pull)


def _is_missing_number(failed: FieldError) -> bool:
    return isinstance(failed.error, GitHubNotFoundError) and len(failed.path) > 1


def batch_query(numbers: Sequence[Sequence[int]]) -> str:
    """Return one GraphQL document that asks for pull requests of several repositories.

    Each repository has the alias `r<place>`, and in it each pull request `pr<number>`.
    """
    places = range(len(numbers))
    parameters = ", ".join(f"$owner{place}: String!, $name{place}: String!" for place in places)
    lines = [f"query PullRequestReports({parameters}) {{"]
    for place in places:
        lines.append(f"  r{place}: repository(owner: $owner{place}, name: $name{place}) {{")
        lines += [f"    pr{int(one)}: pullRequest(number: {int(one)}) {{ ...Report }}" for one in numbers[place]]
        lines.append("  }")
    return "\n".join([*lines, "}", load_query("report")])


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
        checks=pull.checks,
        mergeability=_mergeability(pull),
        review_decision=_REVIEWS.get(pull.review_decision or "", ReviewDecision.NONE),
        draft=pull.is_draft,
        base_ref=pull.base_ref_name,
        base_sha=pull.base_ref.target.oid if pull.base_ref and pull.base_ref.target else None,
    )


def _mergeability(pull: _ReportedPullRequest) -> Mergeability:
    if pull.mergeable == "MERGEABLE" and pull.merge_state_status == "BEHIND":
        return Mergeability.BEHIND
    return _MERGES.get(pull.mergeable, Mergeability.UNKNOWN)
