"""Questions about a repository: what it is, and what its branches are called now. Reads only."""

from dataclasses import dataclass
from urllib.parse import quote

from squire_pipelines.errors import GitHubNotFoundError, GitHubPermissionError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GitHubModel, GraphQLModel, Text, parse
from squire_pipelines.github.readings import repository_of

_MAY_PUSH = frozenset({"ADMIN", "MAINTAIN", "WRITE"})


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
