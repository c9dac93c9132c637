"""Has GitHub's API make the commit that is published, so that it is signed, and takes it into the scratch repository.

Only the commit is the API's. It is pushed as any other, with a lease, so that nobody's commit is ever lost by it; and
its tree is compared with ours by its id, which holds every path, mode and byte.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.domain.change import ChangedFile
from squire_pipelines.errors import GitHubNotFoundError, PublishRefusedError
from squire_pipelines.github import git_data
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.git_data import ApiCommit, CommitPerson, TreeEntry
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.publishing.bundle import VerifiedChange
from squire_pipelines.publishing.commit import commit_message
from squire_pipelines.publishing.diff import changed_files, read_objects
from squire_pipelines.publishing.git import GitLimits, run_git
from squire_pipelines.publishing.git_merges import tree_of
from squire_pipelines.publishing.request import PublishRequest
from squire_pipelines.sections.tasks import PublishingSettings

MAX_INLINE_BYTES = 100_000
"""Larger files, and those that are no text, are sent one by one."""

_REMOVED = "000000"
_log = get_logger(Component.PUBLISHER)


@dataclass(frozen=True, slots=True)
class PlannedCommit:
    """A commit that GitHub is to make.

    Args:
        git_dir: Has the tree, and gets the commit.
        tree: Its tree.
        parents: Its parents.
        message: Its message.
        base: A commit that GitHub has, from whose tree the new one is made.
        files: What differs between the two trees.
    """

    git_dir: Path
    tree: str
    parents: tuple[str, ...]
    message: str
    base: str
    files: tuple[ChangedFile, ...]


@dataclass(frozen=True, slots=True)
class ApiCommits:
    """Makes commits in one repository through GitHub's API; `repository` is its present name."""

    client: GitHubClient
    repository: str

    async def make(
        self,
        change: VerifiedChange,
        request: PublishRequest,
        own_sha: str,
        *,
        earlier_heads: Iterable[str | None],
        settings: PublishingSettings | None = None,
    ) -> str:
        """Return the id of a commit that has the tree, parents and message of our own `own_sha`, made by GitHub.

        One of `earlier_heads` is taken where it is such a commit: an earlier try made it.

        Raises:
            PublishRefusedError: GitHub made another commit than was asked for.
            GitHubError: Anything else.
        """
        planned = await asyncio.to_thread(_planned, change, request, own_sha, settings or PublishingSettings())
        return await self.make_planned(planned, earlier_heads=earlier_heads)

    async def make_planned(self, planned: PlannedCommit, *, earlier_heads: Iterable[str | None] = ()) -> str:
        """Return the id of a planned commit, made by GitHub; raises as `make` does."""
        commit = await self._earlier(planned, earlier_heads)
        if commit is None:
            base_tree = await asyncio.to_thread(tree_of, planned.git_dir, planned.base)
            made = base_tree
            if planned.files:
                entries = await self._entries(planned)
                made = await git_data.create_tree(self.client, self.repository, base_tree, entries)
            if made != planned.tree:
                raise _refused(f"the tree {made}, and not {planned.tree}")
            commit = await git_data.create_commit(
                self.client, self.repository, message=planned.message, tree=planned.tree, parents=planned.parents
            )
        if not _is_same(commit, planned):
            raise _refused("a commit with another tree, parent or message")
        if not commit.verification.verified:
            _log.warning("GitHub did not sign the commit", head_sha=commit.sha, repository=self.repository)
        await asyncio.to_thread(_write, planned.git_dir, commit)
        return commit.sha

    async def _earlier(self, planned: PlannedCommit, heads: Iterable[str | None]) -> ApiCommit | None:
        for sha in dict.fromkeys(filter(None, heads)):
            try:
                commit = await git_data.read_commit(self.client, self.repository, sha)
            except GitHubNotFoundError:
                continue
            if _is_same(commit, planned):
                return commit
        return None

    async def _entries(self, planned: PlannedCommit) -> list[TreeEntry]:
        """Return the changed files as GitHub takes them, after sending those that are no short text."""
        contents = await asyncio.to_thread(_contents, planned)
        entries = []
        for file in planned.files:
            if file.new_mode == _REMOVED:
                entries.append(TreeEntry(file.path, file.old_mode))
                continue
            text = _short_text(contents[file.sha])
            blob = None
            if text is None:
                blob = await git_data.create_blob(self.client, self.repository, contents[file.sha])
            entries.append(TreeEntry(file.path, file.new_mode, content=text, blob=blob))
        return entries


def _planned(
    change: VerifiedChange, request: PublishRequest, own_sha: str, settings: PublishingSettings
) -> PlannedCommit:
    base, files = change.base_sha, change.files
    if request.merge is not None:
        # GitHub has never seen the automatic merge that the change began with.
        base = request.merge.base_head
        files = changed_files(
            change.git_dir,
            base,
            own_sha,
            GitLimits(timeout_s=settings.git_timeout_s, max_memory=settings.git_memory),
            max_patch_bytes=settings.max_patch,
            max_lines=settings.max_lines,
        )
    tree = tree_of(change.git_dir, own_sha)
    return PlannedCommit(change.git_dir, tree, request.parents, commit_message(request), base, files)


def _contents(planned: PlannedCommit) -> Mapping[str, bytes]:
    blobs = list(dict.fromkeys(file.sha for file in planned.files if file.new_mode != _REMOVED))
    return {sha: content for sha, _, content in read_objects(planned.git_dir, blobs, GitLimits())}


def _short_text(content: bytes) -> str | None:
    if not 0 < len(content) <= MAX_INLINE_BYTES:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _is_same(commit: ApiCommit, planned: PlannedCommit) -> bool:
    parents = tuple(parent.sha for parent in commit.parents)
    is_like_it = (commit.tree.sha, parents) == (planned.tree, planned.parents)
    return is_like_it and commit.message.strip() == planned.message.strip()


def _write(git_dir: Path, commit: ApiCommit) -> None:
    """Write GitHub's commit into the scratch repository, byte by byte as GitHub has it: its id says so."""
    for raw in _possible_bytes(commit):
        # The id of git's objects, no protection.
        if hashlib.sha1(b"commit %d\0" % len(raw) + raw, usedforsecurity=False).hexdigest() == commit.sha:
            run_git(["hash-object", "-t", "commit", "-w", "--stdin"], git_dir=git_dir, stdin=raw)
            return
    raise _refused(f"the commit {commit.sha}, which cannot be read as a commit of git's")


def _possible_bytes(commit: ApiCommit) -> Iterator[bytes]:
    """Yield a commit's bytes as they may be: the API shows neither line breaks at the ends, nor zones of time."""
    signature, payload = commit.verification.signature, commit.verification.payload
    if signature is not None and payload is not None:
        head, _, message = payload.partition("\n\n")
        for ending in ("\n", ""):
            signed = (signature.rstrip("\n") + ending).replace("\n", "\n ")
            yield f"{head}\ngpgsig {signed}\n\n{message}".encode()
        return
    lines = [f"tree {commit.tree.sha}", *(f"parent {parent.sha}" for parent in commit.parents)]
    lines += [f"author {_person(commit.author)}", f"committer {_person(commit.committer)}"]
    for message in (commit.message, f"{commit.message}\n", commit.message.rstrip("\n")):
        yield ("\n".join(lines) + f"\n\n{message}").encode()


def _person(person: CommitPerson) -> str:
    return f"{person.name} <{person.email}> {int(person.date.timestamp())} +0000"


def _refused(answer: str) -> PublishRefusedError:
    return PublishRefusedError(
        f"GitHub's API made {answer}",
        reason="api_commit",
        hint='set publishing.commits = "git", which pushes commits without a signature',
    )
