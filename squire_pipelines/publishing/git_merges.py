"""Merges two commits in a bare repository as git does by itself, and tells whether a commit is such a merge.

Nothing is checked out and no branch moves. What is merged was fetched from GitHub; what an agent makes of a conflict is
judged elsewhere.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.errors import GitError
from squire_pipelines.publishing.author import CommitAuthor
from squire_pipelines.publishing.diff import EMPTY_TREE
from squire_pipelines.publishing.git import GitLimits, run_git

MAX_MERGES_IN_A_ROW = 10
"""So many merges of the base on top of each other are looked at."""

MAX_REBASED = 100
"""Of a branch with more commits nobody looks whether it was rebased."""

MAX_MESSAGES = 50
_LIMITS = GitLimits(timeout_s=120.0, max_memory=None)
# As in `diff`: newer gits would read attributes from a bare repository's HEAD, and GitHub's merge reads none.
_NO_ATTRIBUTES = {"GIT_ATTR_SOURCE": EMPTY_TREE}


@dataclass(frozen=True, slots=True)
class AutomaticMerge:
    """What git makes of two commits.

    Args:
        branch_head: The commit that is merged into.
        base_head: The commit that is merged.
        tree: The merged tree; files with conflicts have marks of conflict in it, whose labels are the two ids.
        conflicts: The paths that git cannot merge; empty where it can merge all.
        messages: What git says of each conflict.
    """

    branch_head: str
    base_head: str
    tree: str
    conflicts: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()

    @property
    def marks(self) -> tuple[bytes, bytes]:
        """How the lines begin that git puts around the two sides of a conflict."""
        return f"<<<<<<< {self.branch_head}".encode(), f">>>>>>> {self.base_head}".encode()


def contains(git_dir: Path, commit: str, ancestor: str) -> bool:
    """Return whether one commit is the other or in its history. Raises GitError where one of them is not there."""
    listed = run_git(["rev-list", "--max-count=1", ancestor, f"^{commit}"], git_dir=git_dir, limits=_LIMITS)
    return not listed.strip()


def automatic_merge(git_dir: Path, branch_head: str, base_head: str) -> AutomaticMerge:
    """Return what git makes of two commits, which is the same at every call; its objects are written to `git_dir`.

    Raises:
        GitError: One of them is not there, they have nothing in common, or merging took too long.
    """
    # The options: https://git-scm.com/docs/git-merge-tree#OUTPUT
    out = run_git(
        ["merge-tree", "--write-tree", "-z", "--name-only", "--messages", branch_head, base_head],
        git_dir=git_dir,
        ok_codes=(0, 1),
        environment=_NO_ATTRIBUTES,
        limits=_LIMITS,
    )
    parts = iter(out.decode(errors="backslashreplace").split("\0"))
    tree = next(parts)
    conflicts = []
    for name in parts:
        if not name:
            break
        conflicts.append(name)
    messages = tuple(_messages(parts)) if conflicts else ()
    return AutomaticMerge(branch_head, base_head, tree, tuple(dict.fromkeys(conflicts)), messages)


def _messages(parts: Iterator[str]) -> Iterator[str]:
    """Yield what git says of conflicts: each has the number of its paths, these, its kind, and its text."""
    for number, count in enumerate(parts):
        if not count.isdigit() or number >= MAX_MESSAGES:
            return
        for _ in range(int(count)):
            next(parts, "")
        kind, text = next(parts, ""), next(parts, "").strip()
        if kind.startswith("CONFLICT") and text:
            yield text


def commit_merge(git_dir: Path, merge: AutomaticMerge, *, message: str, author: CommitAuthor) -> str:
    """Write the merge as a commit with two parents and return its id, which is the same at every call. Raises GitError.

    It is dated as the younger of the two: a clock would make each call another commit.
    """
    listed = run_git(
        ["show", "--no-patch", "--format=%ct", merge.branch_head, merge.base_head], git_dir=git_dir, limits=_LIMITS
    )
    date = f"{max(int(seconds) for seconds in listed.split())} +0000"
    roles = ("AUTHOR", "COMMITTER")
    environment = {f"GIT_{role}_NAME": author.name for role in roles}
    environment |= {f"GIT_{role}_EMAIL": author.email for role in roles}
    environment |= {f"GIT_{role}_DATE": date for role in roles}
    written = run_git(
        ["commit-tree", "--no-gpg-sign", "-p", merge.branch_head, "-p", merge.base_head, merge.tree],
        git_dir=git_dir,
        stdin=message.encode(),
        environment=environment,
        limits=_LIMITS,
    )
    return written.decode().strip()


def parents_of(git_dir: Path, commit: str) -> tuple[str, ...]:
    """Return the parents of a commit. Raises GitError."""
    listed = run_git(["rev-list", "--parents", "--max-count=1", commit], git_dir=git_dir, limits=_LIMITS)
    return tuple(listed.decode().split()[1:])


def tree_of(git_dir: Path, commit: str) -> str:
    """Return the tree of a commit. Raises GitError."""
    return run_git(["rev-parse", "--verify", f"{commit}^{{tree}}"], git_dir=git_dir).decode().strip()


@dataclass(frozen=True, slots=True)
class MergeOfBase:
    """A commit that merges a commit of the base into a branch, and nothing else."""

    head: str
    branch_head: str
    base_head: str


def merges_of_base(
    git_dir: Path, head: str, *, own_heads: Collection[str], base_head: str
) -> tuple[MergeOfBase, ...] | None:
    """Return the merges of the base by which one of `own_heads` became `head`, oldest first; None where others did.

    Each is a merge commit of a head and a commit of the base, with the tree that git gives it by itself: somebody, or
    GitHub's button, brought the branch up to date, and added nothing of their own.

    Args:
        git_dir: Has all of these commits.
        head: The branch's present head.
        own_heads: Heads that Squire gave the branch.
        base_head: The base's present head.

    Raises:
        GitError: A commit is not there, or looking took too long.
    """
    merges: list[MergeOfBase] = []
    commit = head
    while commit not in own_heads:
        merge = _merge_of_base(git_dir, commit, base_head)
        if merge is None or len(merges) == MAX_MERGES_IN_A_ROW:
            return None
        merges.append(merge)
        commit = merge.branch_head
    return tuple(reversed(merges))


def _merge_of_base(git_dir: Path, commit: str, base_head: str) -> MergeOfBase | None:
    parents = parents_of(git_dir, commit)
    if len(parents) != 2:  # noqa: PLR2004 - a branch and its base
        return None
    for branch_head, merged_head in (parents, parents[::-1]):
        if contains(git_dir, base_head, merged_head) and not contains(git_dir, base_head, branch_head):
            try:
                merge = automatic_merge(git_dir, branch_head, merged_head)
            except GitError as error:
                if error.context.get("timed_out"):
                    raise
                return None  # they have nothing in common
            is_plain = not merge.conflicts and merge.tree == tree_of(git_dir, commit)
            return MergeOfBase(commit, branch_head, merged_head) if is_plain else None
    return None


def updates_of_branch(
    git_dir: Path, head: str, *, own_heads: Collection[str], base_head: str
) -> tuple[MergeOfBase, ...]:
    """Return how one of `own_heads` became `head` by its base alone: by merges, or by a rebase; none where others did.

    See `merges_of_base` and `rebase_on_base`. Raises GitError.
    """
    merges = merges_of_base(git_dir, head, own_heads=own_heads, base_head=base_head)
    if merges is not None:
        return merges
    rebase = rebase_on_base(git_dir, head, own_heads=own_heads, base_head=base_head)
    return (rebase,) if rebase is not None else ()


def rebase_on_base(git_dir: Path, head: str, *, own_heads: Collection[str], base_head: str) -> MergeOfBase | None:
    """Return the head of ours that became `head` by a rebase on a commit of the base; None where others did more.

    That is so where the commits on top of the base are those of the earlier head, by their authors, the authors' times
    and the subjects, and where the tree is the one that git's merge of the same two gives: somebody, or GitHub's button
    "Update with rebase", brought the branch up to date, and added nothing of their own.

    Args:
        git_dir: Has the present head; an earlier one that it has no more is passed over.
        head: The branch's present head.
        own_heads: Heads that Squire gave the branch.
        base_head: The base's present head.

    Raises:
        GitError: The present head or the base's is not there, or looking took too long.
    """
    written = _written(git_dir, head, base_head)
    if not written or len(written) > MAX_REBASED or written != _written(git_dir, head, base_head, "--no-merges"):
        return None  # no rebase keeps a merge
    try:
        fork = run_git(["merge-base", head, base_head], git_dir=git_dir, limits=_LIMITS).decode().strip()
    except GitError as error:
        if error.context.get("timed_out"):
            raise
        return None  # they have nothing in common
    for earlier in sorted(own_heads):
        try:
            if _written(git_dir, earlier, base_head, "--no-merges") != written or contains(git_dir, earlier, fork):
                continue
            merge = automatic_merge(git_dir, earlier, fork)
        except GitError as error:
            if error.context.get("timed_out"):
                raise
            continue
        if not merge.conflicts and merge.tree == tree_of(git_dir, head):
            return MergeOfBase(head, earlier, fork)
    return None


def _written(git_dir: Path, head: str, base_head: str, *options: str) -> list[str]:
    """Return who wrote each commit that a head has and the base has not, when, and its subject, newest first."""
    shape = "--format=%an%x00%ae%x00%at%x00%s"
    log = ["log", f"--max-count={MAX_REBASED + 1}", shape, *options, head, f"^{base_head}", "--"]
    return run_git(log, git_dir=git_dir, limits=_LIMITS).decode(errors="replace").splitlines()
