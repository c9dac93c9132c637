"""Git in the worker: the clone that the agent gets, and the bundle that comes out of it.

Untracked files that tools left behind are left out of the commit: see `leftovers`. Two kinds of paths are never a part
of the change: what the agent's program leaves (`exclude`), and what is taken out of the clone before the start because
the program would obey it (`restore`). In the commit they are as in the base.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from squire_worker.contract import Attempt, FailedError, Paths, clear, fail
from squire_worker.leftovers import added_repositories, further_leftovers, left_out, untracked_patterns, write_exclude
from squire_worker.processes import capture, feed, pipe

if TYPE_CHECKING:
    from pathlib import Path

GIT_TIMEOUT_S = 600.0


class Repository:
    """The agent's clone, and afterwards a git directory of our own over the same files and objects."""

    def __init__(self, paths: Paths, attempt: Attempt) -> None:
        self.paths, self.attempt = paths, attempt
        self._agents, self._config = paths.repo / ".git", b""
        self._leftovers: tuple[str, ...] = ()
        # Git's path patterns of what is in the commit as in the base.
        self._unchanged = [f":(top,literal){path}" for path in attempt.restore]
        for pattern in attempt.exclude:
            self._unchanged += [f":(top,glob){pattern}", f":(top,glob){pattern}/**"]
        self._environment = attempt.identity() | {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(paths.work),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_DIR": str(self._agents),
            "GIT_WORK_TREE": str(paths.repo),
        }

    def git(self, *arguments: str, ok: tuple[int, ...] = (0,)) -> tuple[int, str]:
        """Git's exit code and output; fails with `git_failed` and the end of its stderr."""
        command = ["git", *arguments]
        try:
            code, output, errors = capture(command, self._environment, self.paths.repo, GIT_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            fail("git_failed", f"git {arguments[0]}: {error}")
        if code not in ok:
            fail("git_failed", f"git {arguments[0]} exited with {code}: {errors[-2000:]}")
        return code, output

    def _pipe(self, arguments: list[str], data: bytes) -> bytes:
        """Git's output on `data`; 1, which is git's word for nothing, is no failure."""
        try:
            code, output, errors = pipe(["git", *arguments], self._environment, self.paths.repo, GIT_TIMEOUT_S, data)
        except (OSError, subprocess.TimeoutExpired) as error:
            fail("git_failed", f"git {arguments[0]}: {error}")
        if code not in (0, 1):
            fail("git_failed", f"git {arguments[0]} exited with {code}: {errors[-2000:]}")
        return output

    def clone(self) -> None:
        """Fetches the base branch out of the bundle and checks `base_sha` out on the new branch.

        What may be the name of a branch is git's to say: almost every sign may be in one.
        """
        attempt, bundle = self.attempt, str(self.paths.inbox / "repo.bundle")
        self.paths.repo.mkdir(parents=True)
        self.git("init", "--quiet", "--template=")
        for field, name in (("branch", attempt.branch), ("base_ref", attempt.base_ref)):
            if self.git("check-ref-format", "--branch", name, ok=(0, 1, 128))[0]:
                fail("input_invalid", f"{field} is no name for a branch")
        self.git("fetch", "--quiet", "--no-tags", bundle, f"refs/heads/{attempt.base_ref}:refs/squire/base")
        self.git("checkout", "--quiet", "-b", attempt.branch, attempt.base_sha)
        self.git("config", "user.name", attempt.bot_name)
        self.git("config", "user.email", attempt.bot_email)
        self._config = (self._agents / "config").read_bytes()
        self._take_out()
        self._ignore()

    def _take_out(self) -> None:
        """Moves what the agent's program must not find out of the clone, and has git see no change in that."""
        taken = self.paths.work / "taken"
        for number, name in enumerate(self.attempt.restore):
            place = first_link(self.paths.repo, name)
            if place is None:
                continue
            path = f":(top,literal){place.relative_to(self.paths.repo)}"
            self._unchanged.append(path)
            listing = ["git", "ls-files", "-z", "--", path]
            hiding = ["git", "update-index", "-z", "--skip-worktree", "--stdin"]
            try:
                code, errors = feed(listing, hiding, self._environment, self.paths.repo, GIT_TIMEOUT_S)
            except (OSError, subprocess.TimeoutExpired) as error:
                fail("git_failed", f"git update-index: {error}")
            if code:
                fail("git_failed", f"git update-index exited with {code}: {errors[-2000:]}")
            taken.mkdir(exist_ok=True)
            # Not removed: it may be deeper than Python's recursion.
            place.rename(taken / str(number))

    def _ignore(self) -> None:
        """Has git leave out what programs and tools leave; the agent's own commits would take it in otherwise."""
        self._leftovers = untracked_patterns(self._pipe, self.attempt.leftovers)
        lines = (*(f"/{pattern}" for pattern in self.attempt.exclude), *self._leftovers)
        write_exclude(self._agents, (line.encode() for line in lines))

    def seal(self) -> None:
        """Leaves the agent's git directory: its hooks, filters, index, refs and locks count no more.

        All that is taken from it is its objects and the commit that HEAD names (the base, if it names none).
        """
        if self._agents.is_symlink() or not self._agents.is_dir():
            fail("git_failed", "the agent removed or replaced .git")
        clear(self._agents, "config", "config.worktree", "commondir", "shallow")
        (self._agents / "config").write_bytes(self._config)
        code, tip = self.git("rev-parse", "--verify", "--quiet", "HEAD^{commit}", ok=(0, 1, 128))
        ours = {"GIT_DIR": self.paths.work / "result.git", "GIT_OBJECT_DIRECTORY": self._agents / "objects"}
        self._environment |= {name: str(path) for name, path in ours.items()}
        self.git("init", "--quiet", "--template=")
        self.git("symbolic-ref", "HEAD", f"refs/heads/{self.attempt.branch}")
        self.git("update-ref", "HEAD", self.attempt.base_sha if code else tip)
        self.git("read-tree", "HEAD")

    def leave_out(self) -> list[str]:
        """Has git see nothing of what tools left behind; return what that is, for people."""
        added = added_repositories(self._pipe, self.attempt.base_sha)
        if added:
            self._pipe(["update-index", "--force-remove", "-z", "--stdin"], added)
        git_dir = self.paths.work / "result.git"
        by_name = [line.encode() for line in self._leftovers]
        write_exclude(git_dir, by_name)
        write_exclude(git_dir, [*by_name, *further_leftovers(self._pipe, self.paths.repo)])
        return left_out(self._pipe, git_dir)

    def commit_rest(self) -> bool:
        """Commits what the agent left uncommitted; True if there was something."""
        self.git("add", "--all")
        self._put_back()
        if self.git("diff", "--cached", "--quiet", "HEAD", ok=(0, 1))[0] == 0:
            return False
        self.git("commit", "--quiet", "--message", self.attempt.commit_message)
        return True

    def _put_back(self) -> None:
        """Has the index hold the base's entries at the paths that are never a part of the change."""
        if not self._unchanged:
            return
        # Where the agent has put a file, a link or a repository of its own at a folder above one, that goes too.
        above = {
            "/".join(path.split("/")[:end]) for path in self.attempt.restore for end in range(1, path.count("/") + 1)
        }
        for path in sorted(above):
            if self.git("ls-files", "--stage", "--", f":(top,literal){path}")[1].partition("\t")[2] == path:
                self._unchanged.append(f":(top,literal){path}")
        self.git("reset", "--quiet", self.attempt.base_sha, "--", *self._unchanged)
        base = self.attempt.base_sha
        if self.git("diff", "--cached", "--quiet", base, "--", *self._unchanged, ok=(0, 1))[0]:
            fail("git_failed", "what the agent's program must not change cannot be put back as it was")

    def _holds_unchangeable(self) -> bool:
        """Return whether any of the agent's commits touches what is never a part of the change."""
        if not self._unchanged:
            return False
        span = f"{self.attempt.base_sha}..HEAD"
        return bool(self.git("rev-list", "--full-history", "--max-count=1", span, "--", *self._unchanged)[1])

    def head(self) -> str | None:
        """Return the commit to publish, or None when its tree is the base's. It always descends from the base.

        Where the attempt takes that, a commit of the agent's that changes nothing is an answer: the base is right.
        """
        base, message = self.attempt.base_sha, self.attempt.commit_message
        if self.git("diff-tree", "--quiet", base, "HEAD", ok=(0, 1))[0] == 0:
            is_answer = self.attempt.takes_empty and self.git("rev-parse", "HEAD")[1] != base
            if not is_answer:
                return None
        if self.git("merge-base", "--is-ancestor", base, "HEAD", ok=(0, 1))[0] == 1 or self._holds_unchangeable():
            # The agent rewrote history (amend, reset, an orphan branch), or a commit of it has what is never a part of
            # the change: its last tree counts, on top of the base.
            tip = self.git("commit-tree", "HEAD^{tree}", "-p", base, "-m", message)[1]
            self.git("update-ref", "HEAD", tip)
        return self.git("rev-parse", "HEAD")[1]

    def bundle(self) -> int:
        """Writes result.bundle; returns how many commits it holds."""
        span = f"{self.attempt.base_sha}..refs/heads/{self.attempt.branch}"
        clear(self.paths.out, "result.bundle", "result.bundle.lock")
        commits = int(self.git("rev-list", "--count", span)[1])
        try:
            self.git("bundle", "create", "--quiet", str(self.paths.out / "result.bundle"), span)
        except FailedError as error:
            if "No space left" in error.message:
                fail("output_full", error.message)
            raise
        return commits


def first_link(root: Path, name: str) -> Path | None:
    """Return the first link on the way to a path below `root`, else the path itself; None when nothing is there."""
    place = root
    for part in name.split("/"):
        place = place / part
        if place.is_symlink():
            return place
    return place if place.exists() else None
