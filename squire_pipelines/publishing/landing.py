"""Finds out whether a change that GitHub did not merge is in the base all the same: pushed, picked or squashed there.

Merge bots, merge queues of others and people at a terminal close a pull request so, and GitHub calls it closed.
"""

from collections.abc import Iterator

from squire_pipelines.errors import GitError
from squire_pipelines.publishing.git import GitLimits, run_git
from squire_pipelines.publishing.git_answers import classify_failure
from squire_pipelines.publishing.mirror import Mirror
from squire_pipelines.publishing.remote import Remote

MAX_COMMITS = 300
"""So many of the base's newest commits are compared."""

_LIMITS = GitLimits(timeout_s=60.0, max_output=64 * 2**20, max_memory=None)
_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-renames", "--full-index")


def fetch_pull_head(mirror: Mirror, remote: Remote, number: int) -> None:
    """Bring a pull request's commits into the mirror, which has branches alone; GitHub keeps them for ever.

    Raises:
        GitHubError: GitHub cannot be reached.
        GitError: It has no such pull request, or git failed otherwise.
    """
    fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--", remote.url]
    try:
        run_git([*fetch, f"refs/pull/{number}/head"], git_dir=mirror.path, remote=remote, limits=_LIMITS)
    except GitError as error:
        raise classify_failure(error, remote.url) from error


def has_landed(mirror: Mirror, *, base_branch: str, base_sha: str, head_sha: str) -> bool:
    """Return whether the change from `base_sha` to `head_sha` is in the base branch.

    It is when the head is, when one commit there makes the same change (a squash), or when each of its commits has one
    that does (a rebase, or picks). What is the same is git's patch id: the lines that change, wherever they stand.

    Raises:
        GitError: The branch or one of the commits is not in the mirror, or comparing took too long.
    """
    tip = mirror.resolve(base_branch)
    common = run_git(["merge-base", head_sha, tip], git_dir=mirror.path, ok_codes=(0, 1)).decode().strip()
    if common == head_sha:
        return True
    # What was merged from the base since is none of the change.
    base_sha = common or base_sha
    there = _patches(mirror, f"{base_sha}..{tip}")
    whole = run_git(["diff", *_PLAIN, base_sha, head_sha], git_dir=mirror.path, limits=_LIMITS)
    if not whole:
        return False
    if there.intersection(patch_id for _, patch_id in _ids(mirror, whole)):
        return True
    own = _patches(mirror, f"{base_sha}..{head_sha}")
    return bool(own) and own <= there


def patch_ids_of_commits(mirror: Mirror, commits: str) -> dict[str, str]:
    """Return the patch ids of the newest commits in a range, without merges, by commit. Raises GitError."""
    log = ["log", "-p", "--no-merges", f"--max-count={MAX_COMMITS}", *_PLAIN, commits, "--"]
    return dict(_ids(mirror, run_git(log, git_dir=mirror.path, limits=_LIMITS)))


def _patches(mirror: Mirror, commits: str) -> frozenset[str]:
    return frozenset(patch_ids_of_commits(mirror, commits).values())


def _ids(mirror: Mirror, patches: bytes) -> Iterator[tuple[str, str]]:
    """Yield each patch's commit, which is zeros where it has none, and its id."""
    listed = run_git(["patch-id", "--stable"], git_dir=mirror.path, stdin=patches, limits=_LIMITS)
    for line in listed.decode().splitlines():
        patch_id, _, commit = line.partition(" ")
        yield commit, patch_id
