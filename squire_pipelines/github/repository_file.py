"""Reads one file from the head of a repository's default branch: its own settings, or what they extend.

A branch or a pull request's head is never asked for. What the text means is `repository_files.parsing`.
"""

from dataclasses import dataclass

from squire_pipelines.domain.presets import PresetPlace
from squire_pipelines.errors import GitHubNotFoundError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GraphQLModel, parse


@dataclass(frozen=True, slots=True)
class FileOnBranch:
    """A file as the default branch's head has it.

    Args:
        place: Where it lies.
        commit_sha: The head; None in an empty repository.
        blob_sha: Names the content, None where there is no such file.
        size: In bytes.
        text: The content; None where it is no text, or longer than GitHub shows.
        is_no_file: Something else has that name, such as a folder.
    """

    place: PresetPlace
    commit_sha: str | None = None
    blob_sha: str | None = None
    size: int = 0
    text: str | None = None
    is_no_file: bool = False


class _HeadCommit(GraphQLModel):
    oid: str


class _HeadBranch(GraphQLModel):
    target: _HeadCommit | None = None


class _Content(GraphQLModel):
    oid: str
    byte_size: int | None = None  # none of a folder
    is_truncated: bool = False
    text: str | None = None


class _SettingsFile(GraphQLModel):
    default_branch_ref: _HeadBranch | None = None
    settings_file: _Content | None = None


async def read_file(client: GitHubClient, place: PresetPlace) -> FileOnBranch:
    """Return a file of the default branch's head, which may not be there.

    Raises:
        GitHubNotFoundError: There is no such repository, or the token may not see it.
        GitHubError: Anything else.
    """
    owner, _, name = place.repository.partition("/")
    request = f"the query of {place}"
    variables = {"owner": owner, "name": name, "expression": f"HEAD:{place.path}"}
    answer = await client.query("settings_file", variables)
    content = answer.whole().get("repository")
    if content is None:
        raise GitHubNotFoundError(
            f"there is no repository {place.repository}, or the token may not see it",
            hint="check the name and the token's access",
            context={"request": request},
        )
    answered = parse(_SettingsFile, content, request=request)
    head = answered.default_branch_ref.target if answered.default_branch_ref is not None else None
    commit_sha = head.oid if head is not None else None
    file = answered.settings_file
    if file is None or file.byte_size is None:
        return FileOnBranch(place, commit_sha, is_no_file=file is not None)
    return FileOnBranch(place, commit_sha, file.oid, file.byte_size, None if file.is_truncated else file.text)
