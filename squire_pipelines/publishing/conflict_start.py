"""What an agent begins with that resolves a conflict: git's own merge of the two sides, with its marks, as a commit.

So all that the merge takes from the base is there before the agent begins: its change is what differs from that commit.
The commit never leaves this machine; what is published has the two sides as parents. Another machine that publishes the
work makes the same commit from the two sides.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.publishing.author import NEUTRAL_EMAIL, NEUTRAL_NAME, CommitAuthor
from squire_pipelines.publishing.git import GitLimits, run_git
from squire_pipelines.publishing.git_merges import AutomaticMerge, automatic_merge, commit_merge, contains, parents_of
from squire_pipelines.publishing.mirror import Mirror

_LIMITS = GitLimits(timeout_s=600.0, max_memory=None)
_AUTHOR = CommitAuthor(NEUTRAL_NAME, NEUTRAL_EMAIL)


@dataclass(frozen=True, slots=True)
class ConflictStart:
    """The commit that an agent begins at, which is the same at every call, and the merge that it holds."""

    sha: str
    merge: AutomaticMerge
    message: str = ""

    def describe(self, branch: str, base: str) -> str:
        """Return what git says of the conflicts, as the text of a file for the agent."""
        lines = [
            f"The merge of {base} ({self.merge.base_head}) into {branch} ({self.merge.branch_head}).",
            "",
            *self.merge.messages,
        ]
        return "\n".join(lines) + "\n"


def conflict_start(mirror: Mirror, *, branch: str, base: str) -> ConflictStart | None:
    """Return what resolving the conflict of a branch with its base begins with; None where there is no conflict.

    Raises:
        GitError: One of the branches is not there, they have nothing in common, or git failed otherwise.
    """
    branch_head, base_head = mirror.resolve(branch), mirror.resolve(base)
    if contains(mirror.path, branch_head, base_head):
        return None
    merge = automatic_merge(mirror.path, branch_head, base_head)
    if not merge.conflicts:
        return None
    message = f"Merge {base} into {branch} as git does, with the conflicts that it leaves\n"
    return ConflictStart(commit_merge(mirror.path, merge, message=message, author=_AUTHOR), merge, message)


def remake_start(mirror: Mirror, *, branch_head: str, base_head: str, message: str) -> str:
    """Make the commit that an agent on another machine began at, and return its id.

    Raises GitError where the mirror has not both sides.
    """
    merge = automatic_merge(mirror.path, branch_head, base_head)
    return commit_merge(mirror.path, merge, message=message, author=_AUTHOR)


def begun_merge(mirror: Mirror, start_sha: str) -> AutomaticMerge:
    """Return the merge that an agent's work began with. Raises GitError where the mirror has it no more."""
    branch_head, base_head = parents_of(mirror.path, start_sha)
    return automatic_merge(mirror.path, branch_head, base_head)


def write_start_bundle(mirror: Mirror, start: ConflictStart, *, branch: str, out: Path) -> None:
    """Write the commit with its history as a bundle whose one ref is the branch's. Raises GitError."""
    with tempfile.TemporaryDirectory(prefix="squire-start-") as folder:
        git_dir = Path(folder) / "start.git"
        run_git(["init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(git_dir)])
        (git_dir / "objects" / "info").mkdir(exist_ok=True)
        # A branch of the mirror is GitHub's: this one is at a commit of ours.
        (git_dir / "objects" / "info" / "alternates").write_text(f"{mirror.path.absolute()}/objects\n", "utf-8")
        run_git(["update-ref", f"refs/heads/{branch}", start.sha], git_dir=git_dir)
        run_git(
            ["bundle", "create", "--quiet", str(out.absolute()), f"refs/heads/{branch}"],
            git_dir=git_dir,
            limits=_LIMITS,
        )
