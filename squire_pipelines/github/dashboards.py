"""The issue with a repository's dashboard: found, opened, read with the history of its text, written."""

import secrets

from pydantic import AliasPath, Field

from squire_pipelines.domain.dashboards import DASHBOARD_MARK, TextVersion
from squire_pipelines.errors import GitHubNotFoundError, GitHubUnavailableError
from squire_pipelines.github import issues
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.github.models import Actor, GitHubModel, GraphQLModel, Nodes, Text, TextEdit, parse
from squire_pipelines.github.provenance import author_of

DASHBOARD_TITLE = "Squire's dashboard"
_MAX_PAGES = 10


class _Dashboard(GraphQLModel):
    state: str
    body: Text = ""
    viewer_did_author: bool = False
    author: Actor | None = None
    newest: Nodes[TextEdit] | None = None
    oldest: Nodes[TextEdit] | None = None


class _DashboardAnswer(GraphQLModel):
    issue: _Dashboard | None = Field(validation_alias=AliasPath("repository", "issue"))


class _WrittenText(GitHubModel):
    body: Text | None = None


class DashboardIssue(GraphQLModel):
    """What GitHub has: `ours` is the login of our account where GitHub says that the issue is ours."""

    is_open: bool
    body: str
    versions: tuple[TextVersion, ...]
    ours: str | None


def new_epoch() -> str:
    """Return a name that the boxes of one dashboard have, and those of none before it."""
    return secrets.token_hex(8)


async def read_dashboard(client: GitHubClient, repository: str, number: int) -> DashboardIssue | None:
    """Return the issue with the newest versions of its text; None where it was deleted or moved. Raises GitHubError."""
    owner, _, name = repository.partition("/")
    try:
        data = await client.graphql("own_dashboard", {"owner": owner, "name": name, "number": number})
    except GitHubNotFoundError:
        return None
    issue = parse(_DashboardAnswer, data, request="the query own_dashboard").issue
    if issue is None:
        return None
    # GitHub does not say in which order it gives them: both ends of the history have the newest ones.
    edits = {
        (edit.edited_at, edit.text, edit.editor.login if edit.editor else ""): edit
        for connection in (issue.newest, issue.oldest)
        for edit in (connection.nodes if connection is not None else ())
    }
    return DashboardIssue(
        is_open=issue.state == "OPEN",
        body=issue.body,
        versions=tuple(TextVersion(edit.text, author_of(edit.editor), edit.edited_at) for edit in edits.values()),
        ours=issue.author.login if issue.viewer_did_author and issue.author is not None else None,
    )


async def find_or_open(client: GitHubClient, repository: str, text: str) -> int:
    """Return the number of the repository's dashboard; opens one where GitHub has none of ours. Raises GitHubError."""
    viewer = (await repository_info(client, repository)).viewer
    if viewer is None:
        raise GitHubUnavailableError(
            f"GitHub does not say whose token this is, so that a dashboard of ours in {repository} could not be known",
            hint="try again; `squire doctor` asks for the token's permissions",
        )
    number = await issues.find_issue(
        client, repository, DASHBOARD_MARK, author=viewer.login, state="all", pages=_MAX_PAGES
    )
    if number is not None:
        return number
    return await issues.create_issue(client, repository, title=DASHBOARD_TITLE, body=text)


async def write_dashboard(client: GitHubClient, repository: str, number: int, text: str) -> str:
    """Give the issue a new text; return it as GitHub has it then. Raises GitHubError."""
    path = f"/repos/{repository}/issues/{number}"
    answer = await client.patch(path, {"body": text})
    return parse(_WrittenText, answer, request=f"PATCH {path}").body or ""
