"""Pushes one commit to one branch. Never overwrites a commit that is not known to be an earlier attempt's own.

The rule for a branch that exists already, in this order:
1. it is at our head: nothing to do;
2. our head builds on it: an ordinary push;
3. it is at a head that the ledger recorded before an earlier attempt of the same task pushed it: replaced, with a
   lease on exactly that head, so that whoever pushes in between wins;
4. anything else holds somebody's work: refused.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from squire_pipelines.errors import GitError, PublishRefusedError
from squire_pipelines.publishing.git import GitLimits, run_git
from squire_pipelines.publishing.git_answers import classify_failure
from squire_pipelines.publishing.remote import Remote

LIMITS = GitLimits(timeout_s=300.0)
_OPTIONS = ("--quiet", "--no-verify", "--no-signed", "--no-follow-tags", "--recurse-submodules=no")


def remote_head(remote: Remote, branch: str) -> str | None:
    """Return the commit that the branch is at on the other side, None without such a branch. Raises GitHubError."""
    try:
        out = run_git(["ls-remote", "--quiet", "--", remote.url, f"refs/heads/{branch}"], remote=remote, limits=LIMITS)
    except GitError as error:
        raise classify_failure(error, remote.url) from error
    for line in out.decode(errors="replace").split("\n"):
        sha, _, name = line.partition("\t")
        # The pattern matches the tails of names, too.
        if name == f"refs/heads/{branch}":
            return sha
    return None


def _builds_on(git_dir: Path, ancestor: str, head: str) -> bool:
    try:
        base = run_git(["merge-base", ancestor, head], git_dir=git_dir, ok_codes=(0, 1))
    except GitError:
        # We do not even have that commit, so it is none of ours.
        return False
    return base.decode().strip() == ancestor


def advance_branch(git_dir: Path, remote: Remote, *, branch: str, from_sha: str, to_sha: str) -> bool:
    """Bring a branch from one commit to another that builds on it; return whether anything had to be pushed.

    The other side compares and moves in one step: a branch that is at any other commit, or gone, stays as it is.

    Raises:
        PublishRefusedError: The branch is elsewhere, or a rule of the repository refuses the push.
        GitHubError: Not reachable, not found, or not permitted.
    """
    current = remote_head(remote, branch)
    if current == to_sha:
        return False
    if current != from_sha or not _builds_on(git_dir, from_sha, to_sha):
        raise PublishRefusedError(
            f"the branch {branch} is at {current or 'no commit'}, and not at {from_sha}",
            reason="branch_moved",
            hint="somebody pushed to it, or deleted it; GitHub is asked again",
            context={"branch": branch, "remote_head": current or "", "head": to_sha},
        )
    _push(git_dir, remote, branch, to_sha, [f"--force-with-lease=refs/heads/{branch}:{from_sha}"])
    return True


def push_head(
    git_dir: Path, remote: Remote, *, branch: str, head_sha: str, earlier_heads: Collection[str] = ()
) -> bool:
    """Bring the branch on the other side to `head_sha`; return whether anything had to be pushed.

    Args:
        git_dir: The scratch repository with the verified commits.
        remote: Where to, with the token.
        branch: Without `refs/heads/`.
        head_sha: What passed the policy.
        earlier_heads: The heads that the ledger recorded for earlier attempts of this task.

    Raises:
        PublishRefusedError: The branch holds commits that are not ours, or a rule of the repository refuses the push.
        GitHubError: Not reachable, not found, or not permitted.
    """
    current = remote_head(remote, branch)
    if current == head_sha:
        return False
    lease = []
    if current is None:
        lease = [f"--force-with-lease=refs/heads/{branch}:"]
    elif not _builds_on(git_dir, current, head_sha):
        if current not in earlier_heads:
            raise PublishRefusedError(
                f"the branch {branch} is at {current}, which is not an earlier attempt's head",
                reason="branch_taken",
                hint="somebody pushed to it; merge or delete the branch, then retry the task",
                context={"branch": branch, "remote_head": current, "head": head_sha},
            )
        lease = [f"--force-with-lease=refs/heads/{branch}:{current}"]
    _push(git_dir, remote, branch, head_sha, lease)
    return True


def _push(git_dir: Path, remote: Remote, branch: str, head_sha: str, lease: Sequence[str]) -> None:
    try:
        run_git(
            ["push", *_OPTIONS, *lease, "--", remote.url, f"{head_sha}:refs/heads/{branch}"],
            git_dir=git_dir,
            remote=remote,
            limits=LIMITS,
        )
    except GitError as error:
        # The connection may have broken after the push was taken.
        if remote_head(remote, branch) == head_sha:
            return
        raise classify_failure(error, remote.url) from error
