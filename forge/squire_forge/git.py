"""Git's plumbing on one bare repository. Nothing is checked out, and no code or hook of the repository ever runs."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from squire_forge.errors import GitError

TIMEOUT_S = 30.0
MAX_FILE_BYTES = 1_000_000
MAX_DIFF_CHARACTERS = 400_000
MAX_COMMITS = 250
ZERO_SHA = "0" * 40
_CACHED = 4096


def git_environment() -> dict[str, str]:
    """Return the environment of every git process: no configuration of the machine or the user, no prompts."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }


@dataclass(frozen=True, slots=True)
class Person:
    """An author or committer with the time (RFC 3339, UTC)."""

    name: str
    email: str
    date: str


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """A commit's header and message."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    message: str


@dataclass(frozen=True, slots=True)
class DiffStat:
    """The size of a pull request's change."""

    additions: int
    deletions: int
    files: int


@dataclass(frozen=True, slots=True)
class FileChanges:
    """The paths that a commit touches."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    modified: tuple[str, ...]


class GitDirectory:
    """A bare repository. Commands end within TIMEOUT_S; a failure raises GitError.

    Answers that depend on object names alone never change; the last 4,096 of each kind are cached.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commit = lru_cache(maxsize=_CACHED)(self._commit)
        self.merge_base = lru_cache(maxsize=_CACHED)(self._merge_base)
        self.diff_stat = lru_cache(maxsize=_CACHED)(self._diff_stat)
        self.merged_tree = lru_cache(maxsize=_CACHED)(self._merged_tree)
        self.file_changes = lru_cache(maxsize=_CACHED)(self._file_changes)
        self.commits_between = lru_cache(maxsize=_CACHED)(self._commits_between)

    @classmethod
    def clone_from(cls, source: Path, target: Path, default_branch: str) -> "GitDirectory":
        """Make `target` a bare copy of the local repository `source`, ready to be served."""
        settings = {
            "core.hooksPath": os.devnull,
            "gc.auto": "0",  # a replaced head must stay readable, because its pull request still names it
            "receive.autogc": "false",
            "receive.fsckObjects": "true",
            "receive.hideRefs": "refs/pull",  # as at GitHub, only the server writes these
            "uploadpack.allowFilter": "true",
            "core.fsync": "all",
        }
        options = [argument for key, value in settings.items() for argument in ("-c", f"{key}={value}")]
        paths = [os.fspath(source), os.fspath(target)]
        run_git(["git", "clone", "--quiet", "--bare", "--no-hardlinks", *options, "--", *paths], cwd=target.parent)
        made = cls(target)
        made.run("symbolic-ref", "HEAD", f"refs/heads/{default_branch}")
        return made

    def remove_leftovers(self) -> None:
        """Remove the locks and half-received objects of git processes that were killed.

        Call it only while no other git process uses the repository: the locks of a living process are removed too.
        """
        for lock in (*self.path.glob("*.lock"), *(self.path / "refs").rglob("*.lock")):
            lock.unlink(missing_ok=True)
        for received in (self.path / "objects").glob("tmp_objdir-*"):
            shutil.rmtree(received, ignore_errors=True)

    def run(
        self,
        *arguments: str,
        ok: tuple[int, ...] = (0,),
        environment: Mapping[str, str] | None = None,
        limit_bytes: int | None = None,
        data: bytes = b"",
    ) -> str:
        """Return what `git ARGUMENTS` prints of `data`, at most `limit_bytes`; undecodable bytes are replaced."""
        command = ["git", "--git-dir", os.fspath(self.path), *arguments]
        output = run_git(command, cwd=self.path, ok=ok, environment=environment, data=data)
        return output[:limit_bytes].decode(errors="replace")

    def branches(self) -> dict[str, str]:
        """Return all branches with the commit at their tip."""
        lines = self.run("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads").splitlines()
        return {line[41:].removeprefix("refs/heads/"): line[:40] for line in lines}

    def branch(self, name: str) -> str | None:
        """Return the commit at the tip of one branch, None if there is no such branch."""
        return self.run("rev-parse", "--verify", "--quiet", f"refs/heads/{name}^{{commit}}", ok=(0, 1)).strip() or None

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Return whether `older` is reachable from `newer`."""
        return self.merge_base(older, newer) == older

    def file(self, commit: str, path: str) -> str | None:
        """Return the text of a file in a commit's tree (at most MAX_FILE_BYTES), None if there is no such file."""
        kind = self.run("cat-file", "-t", f"{commit}:{path}", ok=(0, 128)).strip()
        if kind != "blob":
            return None
        return self.run("cat-file", "blob", f"{commit}:{path}", limit_bytes=MAX_FILE_BYTES)

    def object_of(self, revision: str) -> tuple[str, str] | None:
        """Return kind and name of the object that a revision names, None if there is none."""
        name = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", revision, ok=(0, 1, 128)).strip()
        kind = self.run("cat-file", "-t", name, ok=(0, 128)).strip() if len(name) == len(ZERO_SHA) else ""
        return (kind, name) if kind else None

    def tree(self, name: str) -> tuple[tuple[int, str, str, int, str], ...]:
        """Return a folder's entries: mode, kind, object, size (0 of what is no file), name."""
        rows = []
        for line in self.run("ls-tree", "-z", "--long", name).split("\0")[:-1]:
            facts, _, path = line.partition("\t")
            mode, kind, oid, size = facts.split()
            rows.append((int(mode, 8), kind, oid, int(size) if size.isdecimal() else 0, path))
        return tuple(rows)

    def blob(self, name: str) -> bytes:
        """Return a file's content, at most MAX_FILE_BYTES of it."""
        command = ["git", "--git-dir", os.fspath(self.path), "cat-file", "blob", name]
        return run_git(command, cwd=self.path)[:MAX_FILE_BYTES]

    def diff(self, base: str, head: str) -> tuple[str, bool]:
        """Return the diff of what `head` adds since it left `base`, and whether it is cut at MAX_DIFF_CHARACTERS."""
        text = self.run("diff", "--no-color", "--no-ext-diff", f"{base}...{head}")
        return text[:MAX_DIFF_CHARACTERS], len(text) > MAX_DIFF_CHARACTERS

    def update_ref(self, ref: str, new: str, old: str | None = None) -> None:
        """Point `ref` at `new`; with `old`, only if that is where it points now (GitError otherwise)."""
        self.run("update-ref", ref, new, *(() if old is None else (old,)))

    def commit_tree(self, tree: str, parents: tuple[str, ...], message: str, author: Person) -> str:
        """Make a commit object (no branch moves) and return its name."""
        who = {
            f"GIT_{role}_{field}": value
            for role in ("AUTHOR", "COMMITTER")
            for field, value in (("NAME", author.name), ("EMAIL", author.email), ("DATE", author.date))
        }
        flags = [argument for parent in parents for argument in ("-p", parent)]
        return self.run("commit-tree", tree, *flags, "-m", message, environment=who).strip()

    def _commit(self, sha: str) -> CommitInfo:
        form = "%H%x00%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B"
        fields = self.run("show", "--no-patch", f"--format={form}", sha).split("\0", 9)
        return CommitInfo(
            sha=fields[0],
            tree=fields[1],
            parents=tuple(fields[2].split()),
            author=Person(fields[3], fields[4], _rfc3339(fields[5])),
            committer=Person(fields[6], fields[7], _rfc3339(fields[8])),
            message=fields[9].strip("\n"),
        )

    def _merge_base(self, one: str, other: str) -> str | None:
        return self.run("merge-base", one, other, ok=(0, 1)).strip() or None

    def _diff_stat(self, base: str, head: str) -> DiffStat:
        rows = [line.split("\t") for line in self.run("diff", "--numstat", f"{base}...{head}").splitlines()]
        return DiffStat(
            additions=sum(int(row[0]) for row in rows if row[0] != "-"),
            deletions=sum(int(row[1]) for row in rows if row[1] != "-"),
            files=len(rows),
        )

    def _commits_between(self, base: str, head: str) -> tuple[str, ...]:
        """Return the commits of `head` that `base` lacks, oldest first, the newest MAX_COMMITS of them."""
        out = self.run("rev-list", f"--max-count={MAX_COMMITS}", "--topo-order", head, f"^{base}")
        return tuple(reversed(out.split()))

    def _merged_tree(self, base: str, head: str) -> str | None:
        """Return the tree of a merge, None if the two conflict or have nothing in common."""
        if self.merge_base(base, head) is None:
            return None
        out = self.run("merge-tree", "--write-tree", "--no-messages", base, head, ok=(0, 1)).splitlines()
        # After a conflict further lines (the conflicted files) follow the tree's name.
        return out[0] if len(out) == 1 else None

    def changed_paths(self, base: str, head: str) -> list[tuple[str, str, str | None]]:
        """Return git's letter, the path and, of a renamed file, the earlier path of each file that differs."""
        fields = self.run("diff", "--name-status", "-z", "--find-renames", base, head).split("\0")[:-1]
        files: list[tuple[str, str, str | None]] = []
        rest = iter(fields)
        for letter in rest:
            first = next(rest)
            is_pair = letter[0] in "RC"
            files.append((letter[0], next(rest) if is_pair else first, first if is_pair else None))
        return files

    def line_counts(self, base: str, head: str) -> list[tuple[str, tuple[int, int]]]:
        """Return how many lines of each file were added and removed; of a file that is no text none."""
        rows = self.run("diff", "--numstat", "-z", "--no-renames", base, head).split("\0")[:-1]
        return [
            (path, (int(added) if added != "-" else 0, int(removed) if removed != "-" else 0))
            for added, removed, path in (row.split("\t", 2) for row in rows)
        ]

    def reverted_tree(self, tip: str, merged: str) -> str | None:
        """Return the tree of `tip` without what `merged` brought to its first parent, None where the two conflict."""
        return self._three_way(merged, tip, f"{merged}^1")

    def replayed(self, tip: str, commits: tuple[str, ...], committer: Person) -> str | None:
        """Write commits anew on top of `tip`, oldest first, and return the last one; None where they conflict."""
        for commit in commits:
            tree = self._three_way(f"{commit}^1", tip, commit)
            if tree is None:
                return None
            tip = self.commit_tree(tree, (tip,), self.commit(commit).message, committer)
        return tip

    def _three_way(self, base: str, one: str, other: str) -> str | None:
        """Merge the files of two commits as if they had left `base`: this git merges by history alone."""
        nobody = Person("forge", "forge@forge.invalid", "1970-01-01T00:00:00Z")
        start = self.commit_tree(f"{base}^{{tree}}", (), "base", nobody)
        ends = [self.commit_tree(f"{end}^{{tree}}", (start,), "end", nobody) for end in (one, other)]
        return self.merged_tree(*ends)

    def _file_changes(self, sha: str) -> FileChanges:
        out = self.run("diff-tree", "--root", "--no-commit-id", "--name-status", "--no-renames", "-r", "-z", "-m",
                       "--first-parent", sha)  # fmt: skip
        fields = out.split("\0")[:-1]
        pairs = list(zip(fields[::2], fields[1::2], strict=True))
        return FileChanges(
            added=tuple(path for status, path in pairs if status == "A"),
            removed=tuple(path for status, path in pairs if status == "D"),
            modified=tuple(path for status, path in pairs if status not in {"A", "D"}),
        )


def _rfc3339(seconds: str) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def run_git(
    command: list[str],
    *,
    cwd: Path,
    ok: tuple[int, ...] = (0,),
    environment: Mapping[str, str] | None = None,
    data: bytes = b"",
) -> bytes:
    """Run a git command line in `cwd` and return what it prints. Raises GitError if it ends with a code not in `ok`."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**git_environment(), **(environment or {})},
            input=data,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GitError(f"{' '.join(command[:5])} did not end within {TIMEOUT_S:.0f} s") from error
    if done.returncode not in ok:
        last = done.stderr.decode(errors="replace").strip()[-1000:]
        raise GitError(
            f"git {command[3] if '--git-dir' in command else command[1]} ended with {done.returncode}: {last}",
        )
    return done.stdout
