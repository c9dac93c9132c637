"""Writes git's objects through GitHub's API, which signs the commits of an App; no branch moves by it.

https://docs.github.com/rest/git and, about signatures,
https://docs.github.com/authentication/managing-commit-signature-verification/about-commit-signature-verification
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import Field

from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GitHubModel, Text, parse


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file of a new tree: its mode as git writes it, and its content, or its blob's id, or neither to remove it."""

    path: str
    mode: str
    content: str | None = None
    blob: str | None = None

    def document(self) -> dict[str, str | None]:
        """Return the entry as GitHub takes it."""
        head: dict[str, str | None] = {"path": self.path, "mode": self.mode, "type": "blob"}
        return {**head, "content": self.content} if self.content is not None else {**head, "sha": self.blob}


class CommitPerson(GitHubModel):
    """Who wrote a commit, and when."""

    name: str
    email: str
    date: datetime


class CommitSignature(GitHubModel):
    """A commit's signature, and what was signed: the commit without it. None of an unsigned one."""

    verified: bool = False
    signature: str | None = None
    payload: str | None = None


class _Named(GitHubModel):
    sha: str = Field(pattern=r"^[0-9a-f]{40}$")


class ApiCommit(_Named):
    """A commit as GitHub's API shows it."""

    message: Text
    tree: _Named
    parents: tuple[_Named, ...] = ()
    author: CommitPerson
    committer: CommitPerson
    verification: CommitSignature = CommitSignature()


async def create_blob(client: GitHubClient, repository: str, content: bytes) -> str:
    """Write a file's content and return its id. Raises GitHubError."""
    path = f"/repos/{repository}/git/blobs"
    document: dict[str, object] = {"content": base64.b64encode(content).decode(), "encoding": "base64"}
    return parse(_Named, await client.post(path, document, repeatable=True), request=f"POST {path}").sha


async def create_tree(client: GitHubClient, repository: str, base_tree: str, entries: Sequence[TreeEntry]) -> str:
    """Write a tree that has the files of another, but for `entries`, and return its id. Raises GitHubError."""
    path = f"/repos/{repository}/git/trees"
    document: dict[str, object] = {"base_tree": base_tree, "tree": [entry.document() for entry in entries]}
    return parse(_Named, await client.post(path, document, repeatable=True), request=f"POST {path}").sha


async def create_commit(
    client: GitHubClient, repository: str, *, message: str, tree: str, parents: Sequence[str]
) -> ApiCommit:
    """Write a commit in the name of the token's account: any other author, and GitHub signs nothing.

    Raises GitHubError. A repetition makes another commit that nothing names.
    """
    path = f"/repos/{repository}/git/commits"
    document: dict[str, object] = {"message": message, "tree": tree, "parents": list(parents)}
    return parse(ApiCommit, await client.post(path, document, repeatable=True), request=f"POST {path}")


async def read_commit(client: GitHubClient, repository: str, sha: str) -> ApiCommit:
    """Return a commit. Raises GitHubError."""
    path = f"/repos/{repository}/git/commits/{sha}"
    return parse(ApiCommit, await client.get(path), request=f"GET {path}")
