"""Merges the base into the branch of a pull request of ours, in the mirror, and brings the branch to the merge."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from squire_pipelines.publishing.api_commit import ApiCommits, PlannedCommit
from squire_pipelines.publishing.author import CommitAuthor
from squire_pipelines.publishing.commit import commit_subject
from squire_pipelines.publishing.diff import changed_files
from squire_pipelines.publishing.git import GitLimits
from squire_pipelines.publishing.git_merges import AutomaticMerge, automatic_merge, commit_merge, contains, tree_of
from squire_pipelines.publishing.mirror import Mirror
from squire_pipelines.publishing.push import advance_branch
from squire_pipelines.publishing.remote import Remote
from squire_pipelines.sections.tasks import PublishingSettings


@dataclass(frozen=True, slots=True)
class BranchMerge:
    """A branch of ours and its base, each at the commit that the mirror has, and who merges them for which task."""

    branch: str
    branch_head: str
    base: str
    base_head: str
    task_id: str
    author: CommitAuthor

    def message(self, settings: PublishingSettings) -> str:
        """Return the message of the merge, with its author's sign-off where the settings want one."""
        subject = commit_subject(f"Merge {self.base} into {self.branch}")
        sign_off = f"\nSigned-off-by: {self.author.name} <{self.author.email}>\n" if settings.sign_off else ""
        return f"{subject}\n\nMade by git alone for task {self.task_id}.\n{sign_off}"


def try_merge(mirror: Mirror, merge: BranchMerge) -> AutomaticMerge | None:
    """Return what git makes of the two; None where the branch has all of its base already. Raises GitError."""
    if contains(mirror.path, merge.branch_head, merge.base_head):
        return None
    return automatic_merge(mirror.path, merge.branch_head, merge.base_head)


async def publish_merge(
    mirror: Mirror,
    remote: Remote,
    merge: BranchMerge,
    automatic: AutomaticMerge,
    *,
    settings: PublishingSettings,
    api_commits: ApiCommits | None,
    on_commit: Callable[[str], None],
) -> str:
    """Push a merge without conflict as the branch's new head, and return it. Repeating it is harmless.

    Args:
        mirror: Has both commits.
        remote: Where to.
        merge: What is merged.
        automatic: What git made of it.
        settings: Whether it is signed off, and how large a change may be that GitHub's API is told of.
        api_commits: Has GitHub's API make the commit, so that it is signed; None pushes git's.
        on_commit: Called with the merge's id before it is pushed.

    Raises:
        PublishRefusedError: The branch is elsewhere by now, or a rule refuses the push.
        GitHubError, GitError: See `advance_branch`.
    """
    message = merge.message(settings)
    commit = await asyncio.to_thread(
        partial(commit_merge, mirror.path, automatic, message=message, author=merge.author)
    )
    if api_commits is not None:
        planned = await asyncio.to_thread(_planned, mirror, automatic, commit, message, settings)
        commit = await api_commits.make_planned(planned)
    on_commit(commit)
    await asyncio.to_thread(
        partial(advance_branch, mirror.path, remote, branch=merge.branch, from_sha=merge.branch_head, to_sha=commit)
    )
    return commit


def _planned(
    mirror: Mirror, automatic: AutomaticMerge, commit: str, message: str, settings: PublishingSettings
) -> PlannedCommit:
    """Return the merge as GitHub's API is told of it: as the base's tree with what the branch changes."""
    files = changed_files(
        mirror.path,
        automatic.base_head,
        commit,
        GitLimits(),
        max_patch_bytes=settings.max_patch,
        max_lines=settings.max_lines,
    )
    parents = (automatic.branch_head, automatic.base_head)
    return PlannedCommit(mirror.path, tree_of(mirror.path, commit), parents, message, automatic.base_head, files)
