"""The commit as which a pull request was merged, with the checks of it and of its parent; and the merge's revert.

https://docs.github.com/graphql/reference/mutations#revertpullrequest
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AliasPath, Field

from squire_pipelines.domain.base_checks import CommitCheck
from squire_pipelines.domain.failures import FAILED_CONCLUSIONS
from squire_pipelines.domain.outcomes import ChecksState
from squire_pipelines.domain.own_reports import CHECK_NAME, STATUS_CONTEXT
from squire_pipelines.errors import GitHubError, GitHubNotFoundError, GitHubPermissionError, GitHubValidationError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GitHubModel, GraphQLModel, Nodes, Text, parse
from squire_pipelines.github.pulls import find_pull_request

MAX_ANNOTATED = 5
"""Of so many failed checks it is looked up which files they name."""

_QUERY = "merged_pull"
_NO_FILE = frozenset({"", ".github"})  # what GitHub writes for a job as a whole
_STATUS_STATES = {"SUCCESS": ChecksState.PASSED, "FAILURE": ChecksState.FAILED, "ERROR": ChecksState.FAILED}


class _RunOfCommit(GraphQLModel):
    typename: Literal["CheckRun"] = Field(alias="__typename")
    database_id: int | None = None
    name: Text
    status: str = "COMPLETED"
    conclusion: str | None = None
    workflow_run: int | None = Field(
        default=None, validation_alias=AliasPath("checkSuite", "workflowRun", "databaseId")
    )

    def check(self) -> CommitCheck:
        """Return it as a check of a commit."""
        if self.status != "COMPLETED":
            state = ChecksState.PENDING
        else:
            failed = (self.conclusion or "").lower() in FAILED_CONCLUSIONS
            state = ChecksState.FAILED if failed else ChecksState.PASSED
        return CommitCheck(self.name, state, self.database_id, self.workflow_run)


class _StatusOfCommit(GraphQLModel):
    typename: Literal["StatusContext"] = Field(alias="__typename")
    context: Text
    state: str

    def check(self) -> CommitCheck:
        """Return it as a check of a commit."""
        return CommitCheck(self.context, _STATUS_STATES.get(self.state, ChecksState.PENDING))


_AnyCheck = Annotated[_RunOfCommit | _StatusOfCommit, Field(discriminator="typename")]


def _is_own(check: _RunOfCommit | _StatusOfCommit) -> bool:
    return check.name == CHECK_NAME if isinstance(check, _RunOfCommit) else check.context == STATUS_CONTEXT


class _CommitOfBase(GraphQLModel):
    oid: str
    contexts: Nodes[_AnyCheck] | None = Field(default=None, validation_alias=AliasPath("statusCheckRollup", "contexts"))
    parents: "Nodes[_CommitOfBase] | None" = None

    @property
    def checks(self) -> tuple[CommitCheck, ...]:
        """The first hundred checks, without our own report, which a base has that was moved forward to our commit."""
        return tuple(one.check() for one in self.contexts.nodes if not _is_own(one)) if self.contexts else ()


class MergedPull(GraphQLModel):
    """A merged pull request; `id` is GraphQL's."""

    id: str
    title: Text = ""
    body: Text = ""
    head_ref_name: Text
    base_ref_name: Text
    merge_commit: _CommitOfBase | None = None

    @property
    def parent(self) -> _CommitOfBase | None:
        """The base branch's commit before the merge."""
        parents = self.merge_commit.parents if self.merge_commit else None
        return parents.nodes[0] if parents and parents.nodes else None


class _MergedAnswer(GraphQLModel):
    pull_request: MergedPull = Field(validation_alias=AliasPath("repository", "pullRequest"))


class _NamedPlace(GitHubModel):
    path: Text | None = None


class _NamedPlaces(GitHubModel):
    items: tuple[_NamedPlace, ...]


class _Revert(GraphQLModel):
    number: int
    url: str


class _RevertAnswer(GraphQLModel):
    pull: _Revert = Field(validation_alias=AliasPath("revertPullRequest", "revertPullRequest"))


@dataclass(frozen=True, slots=True)
class RevertPull:
    """A pull request that takes a merge back; `error` is GitHub's refusal, where there is none."""

    number: int = 0
    url: str = ""
    by_us: bool = False
    error: str | None = None


async def read_merged(client: GitHubClient, repository: str, number: int) -> MergedPull:
    """Return a merged pull request with the checks of its commit and of that before it. Raises GitHubError."""
    owner, _, name = repository.partition("/")
    data = await client.graphql(_QUERY, {"owner": owner, "name": name, "number": number})
    return parse(_MergedAnswer, data, request=f"the query {_QUERY}").pull_request


async def failing_paths(client: GitHubClient, repository: str, checks: tuple[CommitCheck, ...]) -> tuple[str, ...]:
    """Return the files that failed checks name in their annotations; what cannot be read names none."""
    paths: set[str] = set()
    for check in [check for check in checks if check.check_run is not None][:MAX_ANNOTATED]:
        path = f"/repos/{repository}/check-runs/{check.check_run}/annotations"
        try:
            items = parse(_NamedPlaces, {"items": await client.get(path, {"per_page": 50})}, request=path).items
        except GitHubError:
            continue
        paths |= {item.path for item in items if item.path and item.path not in _NO_FILE}
    return tuple(sorted(paths))


async def find_revert(client: GitHubClient, repository: str, number: int, pull: MergedPull) -> RevertPull | None:
    """Return the pull request that takes a merged one back; None where there is none. Raises GitHubError.

    It is known by the branch that GitHub gives it, whoever made it, and whatever its state is.
    """
    known = await find_pull_request(client, repository, f"revert-{number}-{pull.head_ref_name}")
    return None if known is None else RevertPull(known.number, known.url)


async def open_revert(client: GitHubClient, repository: str, pull: MergedPull, body: str) -> RevertPull:
    """Open a pull request that takes a merged one back, for people to merge.

    Raises GitHubError where nobody knows what became of the request.
    """
    variables = {"id": pull.id, "body": body}
    try:
        data = await client.mutate("revert_pull_request", variables, repository=repository, repeatable=False)
    except (GitHubValidationError, GitHubPermissionError, GitHubNotFoundError) as error:
        return RevertPull(error=str(error.context.get("message") or error.message))
    made = parse(_RevertAnswer, data, request="the mutation revert_pull_request").pull
    return RevertPull(made.number, made.url, by_us=True)
