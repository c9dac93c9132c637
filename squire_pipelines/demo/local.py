"""A local repository on the forge: it is checked first, copied, and never written to."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.errors import RepositoryError

_GIT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class LocalRepository:
    """A repository on disk, with its name on the forge and its current branch."""

    path: Path
    name: str
    branch: str

    @property
    def full_name(self) -> str:
        """The repository's name on the forge with its owner."""
        return f"local/{self.name}"

    def hosting(self, issue: str) -> Mapping[str, object]:
        """Return the request that has the forge host it, with one labelled issue."""
        return {
            "owner": "local",
            "name": self.name,
            "path": str(self.path),
            "default_branch": self.branch,
            "description": f"A copy of {self.path.name}",
            "issues": [{"title": issue, "body": "From `squire demo --repo`.", "author": "you", "labels": ["squire"]}],
        }


def _git(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # Without locks, or `status` would refresh the index, and without a program that the repository may configure.
        ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(path), *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_GIT_TIMEOUT_S,
        check=False,
    )


def inspect_repository(path: Path) -> LocalRepository:
    """Check a local repository without changing it.

    Raises:
        RepositoryError: It is no repository, has no commits, has uncommitted changes, or is on no branch.
    """
    if not path.exists():
        raise RepositoryError(f"{path} does not exist", hint="name the folder of a local git repository")
    top = _git(path, "rev-parse", "--show-toplevel") if path.is_dir() else None
    if top is None or top.returncode != 0:
        raise RepositoryError(
            f"{path} is no git repository",
            hint="name the folder of one, or make one: git init && git add -A && git commit -m first",
        )
    root = Path(top.stdout.strip())
    if _git(root, "rev-parse", "--verify", "--quiet", "HEAD").returncode != 0:
        raise RepositoryError(
            f"{root} has no commits yet", hint="make a first commit: git add -A && git commit -m first"
        )
    branch = _git(root, "symbolic-ref", "--quiet", "--short", "HEAD").stdout.strip()
    if not branch:
        raise RepositoryError(f"{root} is on no branch (detached HEAD)", hint="check a branch out: git switch NAME")
    changed = [line[3:] for line in _git(root, "status", "--porcelain").stdout.splitlines()]
    if changed:
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")  # noqa: PLR2004
        raise RepositoryError(
            f"{root} has uncommitted changes: {shown}", hint="commit or stash them: git stash --include-untracked"
        )
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", root.name).strip("-.") or "repository"
    return LocalRepository(root, name, branch)


def pull_request_diff(repository: Path, pull: Mapping[str, object], *, max_lines: int = 400) -> tuple[str, bool]:
    """Return the diff of a pull request, also of a merged one, cut to `max_lines`, and whether it was cut.

    Args:
        repository: The forge's bare repository.
        pull: The pull request as in the forge's state.
        max_lines: The most lines to return.

    Raises:
        RepositoryError: git fails.
    """
    merge = pull["merge_sha"]
    span = f"{merge}^1..{merge}" if merge else f"refs/heads/{pull['base']}...{pull['head_sha']}"
    shown = _git(repository, "diff", "--no-color", "--no-ext-diff", "--no-textconv", span)
    if shown.returncode != 0:
        raise RepositoryError(f"the diff cannot be shown: {shown.stderr.strip()}")
    lines = shown.stdout.splitlines()
    return "\n".join(lines[:max_lines]), len(lines) > max_lines
