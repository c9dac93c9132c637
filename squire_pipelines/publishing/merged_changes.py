"""What others did to a pull request of ours before and after its merge, by git: commits, lines, reverts."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from squire_pipelines.domain.pull_endings import BranchCommit, commits_of_others, effective_reverts
from squire_pipelines.errors import GitError
from squire_pipelines.publishing.git import GitLimits, run_git
from squire_pipelines.publishing.landing import MAX_COMMITS, patch_ids_of_commits
from squire_pipelines.publishing.mirror import Mirror

MAX_REVERTS = 50
"""So many of the newest commits that take something back are read."""

_LIMITS = GitLimits(timeout_s=60.0, max_output=16 * 2**20, max_memory=None)


@dataclass(frozen=True, slots=True)
class MergedBranch:
    """The commits from which to which a merged pull request goes, and which of them are heads that we gave it.

    Args:
        base_sha: The base's commit that our work began at.
        head_sha: What was merged.
        own_heads: The heads that Squire gave it, oldest first.
        taken_up: The head from which a person had Squire go on.
        merge_sha: The commit in the base that GitHub names; None where it names none.
    """

    base_sha: str
    head_sha: str
    own_heads: tuple[str, ...]
    taken_up: str | None = None
    merge_sha: str | None = None


def read_commits_of_others(mirror: Mirror, branch: MergedBranch) -> tuple[BranchCommit, ...] | None:
    """Return the commits of others that were merged, newest first, without merges; None where they cannot be told.

    Of a branch that somebody has rewritten, those are ours that change what one of ours changed, by git's patch id.

    Raises:
        GitError: One of the commits is not in the mirror, or reading took too long.
    """
    line = _first_parents(mirror, branch.head_sha, [branch.base_sha])
    others = commits_of_others(line, branch.own_heads, branch.taken_up)
    if others is not None or branch.merge_sha in {None, branch.head_sha}:
        return others
    try:
        own = patch_ids_of_commits(mirror, f"{branch.base_sha}..{branch.own_heads[-1]}")
        rewritten = _first_parents(mirror, branch.head_sha, [branch.base_sha, f"{branch.merge_sha}^1"])
        ids = patch_ids_of_commits(mirror, f"{branch.base_sha}..{branch.head_sha}")
    except (GitError, IndexError):
        return None  # what we pushed is gone
    ours = set(own.values())
    return tuple(commit for commit in rewritten if not commit.is_merge and ids.get(commit.sha) not in ours)


def _first_parents(mirror: Mirror, head: str, without: Collection[str]) -> list[BranchCommit]:
    """Return the newest commits from a head along the first parents, with the lines that each changed."""
    shape = ["--first-parent", "--no-diff-merges", "--numstat", "--no-renames", "--format=%x00%H %P"]
    log = ["log", *shape, f"--max-count={MAX_COMMITS}", head, "--not", *without, "--"]
    output = run_git(log, git_dir=mirror.path, limits=_LIMITS).decode(errors="replace")
    return [_commit(part) for part in output.split("\0")[1:]]


def _commit(part: str) -> BranchCommit:
    first, *rest = part.split("\n")
    sha, *parents = first.split()
    counts = [line.split("\t")[:2] for line in rest if line]
    # Of a binary file git counts no lines.
    added, removed = (sum(int(pair[place]) for pair in counts if pair[place].isdigit()) for place in (0, 1))
    return BranchCommit(sha, len(parents) > 1, added, removed)


def read_reverts(mirror: Mirror, base_branch: str, since: str) -> dict[str, str]:
    """Return the commits that the base's commits after `since` take back, each with the commit that does it.

    Raises:
        GitError: The branch or the commit is not in the mirror, or reading took too long.
    """
    tip = mirror.resolve(base_branch)
    grep = ["--fixed-strings", "--grep=This reverts commit ", f"--max-count={MAX_REVERTS}"]
    log = ["log", *grep, "--format=%x00%H%n%B", f"{since}..{tip}", "--"]
    output = run_git(log, git_dir=mirror.path, limits=_LIMITS).decode(errors="replace")
    return dict(effective_reverts(_messages(output)))


def _messages(output: str) -> Iterator[tuple[str, str]]:
    for part in output.split("\0")[1:]:
        sha, _, message = part.partition("\n")
        yield sha, message
