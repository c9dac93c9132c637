"""Questions about one repository or pull request: what it is, and what became of it. Reads only.

All of a repository's signals are read in `collecting`; pull requests are written in `pulls`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.errors import GitHubNotFoundError, GitHubPermissionError
from squire_pipelines.github.client import GitHubClient, load_query
from squire_pipelines.github.collecting import repository_of
from squire_pipelines.github.models import ReportedPullRequest, parse
from squire_pipelines.github.signals import checks_state

REPORTS_PER_QUERY = 50
_MAY_PUSH = frozenset({"ADMIN", "MAINTAIN", "WRITE"})
_STATES = {"OPEN": PullRequestState.OPEN, "CLOSED": PullRequestState.CLOSED, "MERGED": PullRequestState.MERGED}


@dataclass(frozen=True, slots=True)
class RepositoryInfo:
    """A repository as the token sees it.

    `name` is its present name, which differs from the one asked for after a renaming. `can_push` is what the token's
    user may do; None when GitHub does not say, as for an App. A fine-grained token may still lack the permission.
    """

    name: str
    default_branch: str | None
    clone_url: str
    archived: bool
    private: bool
    can_push: bool | None
    is_empty: bool


async def repository_info(client: GitHubClient, repository: str) -> RepositoryInfo:
    """What the repository is.

    Raises:
        GitHubNotFoundError: It does not exist, or the token may not see it; the hint names the permission.
        GitHubPermissionError: The token may see it but not read it, or GitHub has disabled it.
        GitHubError: Anything else.
    """
    owner, _, name = repository.partition("/")
    what = "the query repository"
    try:
        data = await client.graphql("repository", {"owner": owner, "name": name})
        found = repository_of(data, repository, what=what)
    except GitHubNotFoundError as error:
        message = f"there is no repository {repository}, or the token may not see it"
        hint = (
            "check the name; for a private repository a fine-grained token needs the permission Metadata (read) on "
            "it, a classic one the scope repo"
        )
        raise GitHubNotFoundError(message, hint=hint, context=error.context) from error
    except GitHubPermissionError as error:
        raise GitHubPermissionError(
            f"the token may not read {repository}: {error.message}", hint=error.hint, context=error.context
        ) from error
    return RepositoryInfo(
        name=found.name_with_owner or repository,
        default_branch=found.default_branch_ref.name if found.default_branch_ref else None,
        clone_url=f"{found.url}.git",
        archived=found.is_archived,
        private=found.is_private,
        can_push=None if found.viewer_permission is None else found.viewer_permission in _MAY_PUSH,
        is_empty=found.is_empty,
    )


async def pull_request_report(client: GitHubClient, repository: str, number: int) -> PullRequestReport:
    """What GitHub says of a pull request now. Raises GitHubNotFoundError when there is none of this number."""
    owner, _, name = repository.partition("/")
    data = await client.graphql("pull_request", {"owner": owner, "name": name, "number": number})
    found = repository_of(data, repository, what="the query pull_request").pull_request
    if found is None:
        raise GitHubNotFoundError(
            f"there is no pull request #{number} in {repository}", context={"repository": repository, "number": number}
        )
    return _report(repository, found, what="the query pull_request")


async def pull_request_reports(
    client: GitHubClient, repository: str, numbers: Iterable[int]
) -> Mapping[int, PullRequestReport]:
    """What GitHub says of many pull requests of one repository, by number, in one request for each 50.

    Numbers that do not exist are left out. Raises GitHubError for any other missing part.
    """
    owner, _, name = repository.partition("/")
    wanted = sorted(set(numbers))
    reports: dict[int, PullRequestReport] = {}
    for start in range(0, len(wanted), REPORTS_PER_QUERY):
        chunk = wanted[start : start + REPORTS_PER_QUERY]
        what = f"the query for {len(chunk)} pull requests"
        answer = await client.execute(batch_query(chunk), {"owner": owner, "name": name}, what=what)
        for failed in answer.errors:
            if not (isinstance(failed.error, GitHubNotFoundError) and len(failed.path) > 1):
                raise failed.error
        for found in _listed(answer.data, chunk):
            report = _report(repository, found, what=what)
            reports[report.number] = report
    return reports


def batch_query(numbers: Sequence[int]) -> str:
    """One GraphQL document that asks for the reports of several pull requests, each under the alias `pr<number>`."""
    fields = "\n".join(f"    pr{int(number)}: pullRequest(number: {int(number)}) {{ ...Report }}" for number in numbers)
    head = "query PullRequestReports($owner: String!, $name: String!) {\n  repository(owner: $owner, name: $name) {\n"
    return f"{head}{fields}\n  }}\n}}\n{load_query('report')}"


def _listed(data: Mapping[str, Any], numbers: Sequence[int]) -> Iterator[object]:
    repository = data.get("repository") or {}
    for number in numbers:
        if (found := repository.get(f"pr{number}")) is not None:
            yield found


def _report(repository: str, data: object, *, what: str) -> PullRequestReport:
    found = parse(ReportedPullRequest, data, what=what)
    head = found.commits.nodes[-1].commit if found.commits and found.commits.nodes else None
    return PullRequestReport(
        repository=repository,
        number=found.number,
        url=found.url,
        head_ref=found.head_ref_name,
        head_sha=found.head_ref_oid,
        state=_STATES[found.state],
        updated_at=found.updated_at,
        merged_at=found.merged_at,
        closed_at=found.closed_at,
        checks=checks_state(head.status_check_rollup if head else None),
    )
