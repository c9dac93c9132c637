"""What others did to a pull request of ours before and after its merge, by git: commits, lines, reverts."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from squire_pipelines.domain.pull_endings import BranchCommit, commits_of_others
from squire_pipelines.domain.reverts import BaseReverts, read_base_reverts
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


def read_reverts(mirror: Mirror, base_branch: str, since: str) -> BaseReverts:
    """Return what the base's commits after `since` take back.

    Raises:
        GitError: The branch or the commit is not in the mirror, or reading took too long.
    """
    tip = mirror.resolve(base_branch)
    grep = ["--fixed-strings", "--grep=This reverts commit ", f"--max-count={MAX_REVERTS}"]
    log = ["log", *grep, "--format=%x00%H%n%B", f"{since}..{tip}", "--"]
    output = run_git(log, git_dir=mirror.path, limits=_LIMITS).decode(errors="replace")
    return read_base_reverts(_messages(output))


def ways_to_revert(mirror: Mirror, merge_sha: str, head_sha: str) -> tuple[tuple[str, ...], ...]:
    """Return the sets of commits of which each has to be taken back for the merge to be: see `reverting_commit`.

    A rebase gives commits new ids, and keeps their author, the author's time and the subject: these tell how many of
    the base's commits are the merge. The pull request's own commits have to be in the mirror, or the last one counts.

    Raises:
        GitError: The merge's commit is not in the mirror, or reading took too long.
    """
    parents = run_git(["rev-parse", f"{merge_sha}^@"], git_dir=mirror.path).decode().split()
    if len(parents) > 1:
        brought = _authored(mirror, [*parents[1:], f"^{parents[0]}"])
        return (merge_sha,), tuple(commit for commit, _ in brought)
    try:
        own = {author for _, author in _authored(mirror, [head_sha, f"^{merge_sha}"])}
    except GitError:
        own = set()  # nobody knows its commits any more
    series = [merge_sha]
    for commit, author in _authored(mirror, [merge_sha], count=len(own)):
        if author not in own:
            break
        series.append(commit)
    return (tuple(dict.fromkeys(series)),)


def _authored(mirror: Mirror, commits: Sequence[str], count: int = MAX_COMMITS) -> list[tuple[str, str]]:
    """Return the newest commits without merges, each with who wrote it when and its subject."""
    log = ["log", "--no-merges", f"--max-count={min(count, MAX_COMMITS)}", "--format=%x00%H%n%an%n%ae%n%at%n%s"]
    output = run_git([*log, *commits, "--"], git_dir=mirror.path, limits=_LIMITS).decode(errors="replace")
    return [(sha, author.strip()) for sha, author in _messages(output)]


def _messages(output: str) -> Iterator[tuple[str, str]]:
    for part in output.split("\0")[1:]:
        sha, _, message = part.partition("\n")
        yield sha, message
