"""Questions about a repository and its pull requests: what it is, and what became of them. Reads only.

A repository's signals are read by `collecting`; pull requests are written by `pulls`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.errors import GitHubNotFoundError, GitHubPermissionError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GitHubModel, GraphQLModel, ReportedPullRequest, Text, parse
from squire_pipelines.github.query_texts import load_query
from squire_pipelines.github.readings import repository_of
from squire_pipelines.github.signals import checks_state

REPORTS_PER_QUERY = 50
_MAY_PUSH = frozenset({"ADMIN", "MAINTAIN", "WRITE"})
_STATES = {"OPEN": PullRequestState.OPEN, "CLOSED": PullRequestState.CLOSED, "MERGED": PullRequestState.MERGED}


@dataclass(frozen=True, slots=True)
class Viewer:
    """The account whose the token is: a person's, or an App's with `[bot]` at the end of its login."""

    login: str
    id: int


@dataclass(frozen=True, slots=True)
class RepositoryInfo:
    """A repository as the token sees it.

    `name` is its present name, which differs from the one asked for after a renaming. `can_push` is what the token's
    user may do; None when GitHub does not say, as for an App. A fine-grained token may still lack the permission.
    `viewer` is whose the token is, None when GitHub does not say.
    """

    name: str
    default_branch: str | None
    clone_url: str
    archived: bool
    private: bool
    can_push: bool | None
    is_empty: bool
    viewer: Viewer | None = None


class _Viewer(GraphQLModel):
    login: Text = ""
    database_id: int | None = None


class _Branch(GitHubModel):
    name: Text


async def repository_info(client: GitHubClient, repository: str) -> RepositoryInfo:
    """Return what the repository is.

    Raises:
        GitHubNotFoundError: It does not exist, or the token may not see it; the hint names the permission.
        GitHubPermissionError: The token may see it but not read it, or GitHub has disabled it.
        GitHubError: Anything else.
    """
    owner, _, name = repository.partition("/")
    try:
        data = await client.graphql("repository", {"owner": owner, "name": name})
        answer = repository_of(data, repository, request="the query repository")
    except GitHubNotFoundError as error:
        raise GitHubNotFoundError(
            f"there is no repository {repository}, or the token may not see it",
            hint="check the name; for a private repository a fine-grained token needs the permission Metadata (read) "
            "on it, a classic one the scope repo",
            context=error.context,
        ) from error
    except GitHubPermissionError as error:
        raise GitHubPermissionError(
            f"the token may not read {repository}: {error.message}", hint=error.hint, context=error.context
        ) from error
    return RepositoryInfo(
        name=answer.name_with_owner or repository,
        default_branch=answer.default_branch_ref.name if answer.default_branch_ref else None,
        clone_url=f"{answer.url}.git",
        archived=answer.is_archived,
        private=answer.is_private,
        can_push=None if answer.viewer_permission is None else answer.viewer_permission in _MAY_PUSH,
        is_empty=answer.is_empty,
        viewer=_viewer_of(data.get("viewer")),
    )


def _viewer_of(answer: object) -> Viewer | None:
    if not isinstance(answer, dict):
        return None  # a server that is not GitHub may leave it out
    viewer = parse(_Viewer, answer, request="the query repository")
    return Viewer(viewer.login, viewer.database_id) if viewer.login and viewer.database_id is not None else None


async def renamed_branch(client: GitHubClient, repository: str, branch: str) -> str | None:
    """Return what a branch is called now: GitHub leads from the name that it had; None when it is gone.

    https://docs.github.com/rest/branches/branches#get-a-branch
    """
    path = f"/repos/{repository}/branches/{quote(branch, safe='')}"
    try:
        return parse(_Branch, await client.get(path), request=f"GET {path}").name
    except GitHubNotFoundError:
        return None


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
                reports[number] = _report(repository, parse(ReportedPullRequest, data, request=request))
    return reports


def batch_query(numbers: Sequence[int]) -> str:
    """Return one GraphQL document that asks for several pull requests, each under the alias `pr<number>`."""
    fields = "\n".join(f"    pr{int(number)}: pullRequest(number: {int(number)}) {{ ...Report }}" for number in numbers)
    head = "query PullRequestReports($owner: String!, $name: String!) {\n  repository(owner: $owner, name: $name) {\n"
    return f"{head}{fields}\n  }}\n}}\n{load_query('report')}"


def _report(repository: str, pull: ReportedPullRequest) -> PullRequestReport:
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
    )
