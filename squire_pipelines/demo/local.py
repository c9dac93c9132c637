"""A local repository on the forge: it is checked first, copied, and never written to."""

import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.errors import RepositoryError

_GIT_TIMEOUT_S = 60.0
MAX_PATCH_BYTES = 4 * 2**20
_STAT_COLUMNS = 100
# Whatever a person's git is set to, `git apply` takes what these print; and a path is not escaped for having an umlaut.
_APPLICABLE = (
    *("-c", "core.quotePath=false", "diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--submodule=short"),
)
_UNMERGED = ("DD", "AU", "UD", "UA", "DU", "AA", "UU")
# What git keeps while such a command waits for a person. `git am` shares its folder with the old kind of rebase.
_UNFINISHED = (
    ("rebase-merge", "rebase"),
    ("rebase-apply/applying", "am"),
    ("rebase-apply", "rebase"),
    ("MERGE_HEAD", "merge"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
)
# With `--stat`, some of these would print the patch too.
_PATCH = ("--unified=3", "--inter-hunk-context=0", "--binary")


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


@dataclass(frozen=True, slots=True)
class PullDiff:
    """What a pull request changes: git's `--stat`, the patch as git writes it, and the command that prints the patch.

    `patch` is None where it is longer than `MAX_PATCH_BYTES`.
    """

    stat: str
    patch: bytes | None
    command: str


def _git(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = _git_bytes(path, *arguments)
    out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def _git_bytes(path: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        # Without locks, or `status` would refresh the index, and without a program that the repository may configure.
        ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(path), *arguments],
        capture_output=True,
        timeout=_GIT_TIMEOUT_S,
        check=False,
    )


def _unusable(path: Path, git_says: str) -> RepositoryError:
    """Return the error about a path that is there and is no working tree of git's."""
    if "dubious ownership" in git_says:
        return RepositoryError(
            f"git does not open {path}, which belongs to another user",
            hint=f"if you trust it: git config --global --add safe.directory {shlex.quote(str(path.resolve()))}",
        )
    if path.is_dir() and _git(path, "rev-parse", "--is-inside-git-dir").stdout.strip() == "true":
        if _git(path, "rev-parse", "--is-bare-repository").stdout.strip() == "true":
            return RepositoryError(
                f"{path} is a bare repository, which has no working tree",
                hint=f"name a clone of it: git clone {shlex.quote(str(path))} my-clone",
            )
        return RepositoryError(f"{path} is git's own folder of a repository", hint="name the folder with the files")
    return RepositoryError(
        f"{path} is no git repository",
        hint="name the folder of one, or make one: git init && git add -A && git commit -m first",
    )


def inspect_repository(path: Path) -> LocalRepository:
    """Check a local repository without changing it.

    Raises:
        RepositoryError: It is no repository or a bare one, has no commits, has uncommitted changes or an unfinished
            merge or the like, or is on no branch.
    """
    if not path.exists():
        raise RepositoryError(f"{path} does not exist", hint="name the folder of a local git repository")
    top = _git(path, "rev-parse", "--show-toplevel") if path.is_dir() else None
    if top is None or top.returncode != 0:
        raise _unusable(path, "" if top is None else top.stderr)
    root = Path(top.stdout.strip())
    if _git(root, "rev-parse", "--verify", "--quiet", "HEAD").returncode != 0:
        raise RepositoryError(
            f"{root} has no commits yet", hint="make a first commit: git add -A && git commit -m first"
        )
    changed = [(line[:2], line[3:]) for line in _status(root)]
    _refuse_unfinished(root, [name for state, name in changed if state in _UNMERGED])
    branch = _git(root, "symbolic-ref", "--quiet", "--short", "HEAD").stdout.strip()
    if not branch:
        raise RepositoryError(f"{root} is on no branch (detached HEAD)", hint="check a branch out: git switch NAME")
    if changed:
        raise RepositoryError(
            f"{root} has uncommitted changes: {_shown([name for _, name in changed])}",
            hint="commit or stash them: git stash --include-untracked",
        )
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", root.name).strip("-.") or "repository"
    return LocalRepository(root, name, branch)


def _status(root: Path) -> list[str]:
    return _git(root, "-c", "core.quotePath=false", "status", "--porcelain").stdout.splitlines()


def _shown(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004


def _refuse_unfinished(root: Path, unmerged: list[str]) -> None:
    """Raise where git would refuse the steps named for other states: neither a stash nor a switch works then."""
    for marker, command in _UNFINISHED:
        if (root / _git(root, "rev-parse", "--git-path", marker).stdout.strip()).exists():
            conflicts = f", with conflicts in {_shown(unmerged)}" if unmerged else ""
            raise RepositoryError(
                f"{root} is in the middle of a git {command}{conflicts}",
                hint=f"finish it, or undo it: git {command} --abort",
            )
    if unmerged:
        raise RepositoryError(
            f"{root} has conflicts in {_shown(unmerged)}", hint="resolve them, then commit: git add NAME && git commit"
        )


def pull_request_diff(repository: Path, pull: Mapping[str, object]) -> PullDiff:
    """Return what a pull request changes, also a merged one.

    Args:
        repository: The forge's bare repository.
        pull: The pull request as in the forge's state.

    Raises:
        RepositoryError: git fails.
    """
    merge = pull["merge_sha"]
    span = f"{merge}^1..{merge}" if merge else f"refs/heads/{pull['base']}...{pull['head_sha']}"
    forms = ((f"--stat={_STAT_COLUMNS}",), _PATCH)
    shown = [_git_bytes(repository, *_APPLICABLE, *form, span) for form in forms]
    for done in shown:
        if done.returncode != 0:
            raise RepositoryError(f"the diff cannot be shown: {done.stderr.decode('utf-8', 'replace').strip()}")
    stat, patch = (done.stdout for done in shown)
    command = shlex.join(["git", "-C", str(repository), "diff", "--binary", span])
    return PullDiff(
        stat.decode("utf-8", "replace").rstrip("\n"), patch if len(patch) <= MAX_PATCH_BYTES else None, command
    )
