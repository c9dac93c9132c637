"""Reads a repository's code from its mirror, at a commit: the list of files, texts, and which files change often.

What the texts mean is `planning`'s. Nothing is run and nothing is checked out.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from squire_pipelines.domain.repository_facts import HotFile
from squire_pipelines.errors import GitError
from squire_pipelines.publishing.git import GitLimits, run_git
from squire_pipelines.publishing.mirror import Mirror

HOT_DAYS = 90
MAX_HOT_FILES = 25
_PATHS_AT_ONCE = 500
_MAX_PARENTS = 40
"""Folders above a path, from the root, that are looked at for a submodule or a link: a model names what it likes."""

_MAX_COMMITS = 5_000
MAX_TREE_BYTES = 32 * 2**20
_MAX_LOG_BYTES = 32 * 2**20
_NAMED = GitLimits(timeout_s=10.0, max_memory=None)  # an answer of a model waits for it
HISTORY = GitLimits(timeout_s=30.0, max_output=_MAX_LOG_BYTES, truncate=True, max_memory=None)


@dataclass(frozen=True, slots=True)
class FileListing:
    """The files of a commit with their sizes in bytes; not all of them where it is not `complete`."""

    files: tuple[tuple[str, int], ...]
    complete: bool


def _listing() -> GitLimits:
    return GitLimits(timeout_s=60.0, max_output=MAX_TREE_BYTES, truncate=True, max_memory=None)


def list_files(mirror: Mirror, sha: str) -> FileListing:
    """Return the files of a commit. Names that are no UTF-8 have replacement characters. Raises GitError."""
    out = run_git(["ls-tree", "-r", "-l", "-z", sha], git_dir=mirror.path, limits=_listing())
    complete = len(out) < MAX_TREE_BYTES
    entries = out.split(b"\0")[:-1]  # after the last NUL is nothing, or what the limit has cut
    files = []
    for entry in entries:
        head, _, name = entry.partition(b"\t")
        size = head.split()[-1]
        files.append((name.decode(errors="replace"), int(size) if size.isdigit() else 0))  # a submodule has none
    return FileListing(tuple(files), complete)


def committed_at(mirror: Mirror, sha: str) -> datetime:
    """Return when a commit was made, as its committer's clock had it. Raises GitError."""
    seconds = run_git(["show", "--no-patch", "--format=%ct", sha], git_dir=mirror.path).decode().strip()
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):  # a clock that nobody has
        return datetime.fromtimestamp(0, UTC)


def hot_files(
    mirror: Mirror, sha: str, *, until: datetime, there: Collection[str] | None = None
) -> tuple[HotFile, ...] | None:
    """Return the files that most commits changed in the `HOT_DAYS` days before; None when git takes too long.

    Args:
        mirror: Has the history.
        sha: The newest commit.
        until: When it was made: the answer follows from the commit, whenever it is asked for.
        there: The files that it has; those that were removed since are left out. None where they are not known.
    """
    since = int((until - timedelta(days=HOT_DAYS)).timestamp())
    options = ["--format=", "--name-only", "-z", "--no-renames", "--no-merges", f"--max-count={_MAX_COMMITS}"]
    try:
        out = run_git(
            ["log", *options, f"--since={max(since, 0)} +0000", sha, "--"], git_dir=mirror.path, limits=HISTORY
        )
    except GitError as error:
        if error.context.get("timed_out"):
            return None
        raise
    names = (name.decode(errors="replace").strip("\n") for name in out.split(b"\0")[:-1])
    counts = Counter(name for name in names if name and (there is None or name in there))
    ordered = sorted(counts.items(), key=lambda count: (-count[1], count[0]))
    return tuple(HotFile(path=name, commits=count) for name, count in ordered[:MAX_HOT_FILES] if count > 1)


def read_texts(mirror: Mirror, sha: str, paths: Iterable[str], *, max_bytes: int) -> dict[str, str]:
    """Return the beginnings of regular files, by path; a link and what is not there are left out. Raises GitError."""
    contents = ((path, mirror.read_file(sha, path, max_bytes)) for path in paths)
    return {path: content.decode(errors="replace") for path, content in contents if content is not None}


def existing_paths(mirror: Mirror, sha: str, paths: Sequence[str]) -> frozenset[str]:
    """Return those of `paths` that a commit has, as files or folders.

    What lies behind a submodule or a link counts too: nobody here can look there. Raises GitError.

    Args:
        mirror: Has the commit.
        sha: The commit.
        paths: Relative, with `/`, without `.` and `..`.
    """
    parents = {path: [path[:end] for end in _ends(path)[:_MAX_PARENTS]] for path in paths}
    names = sorted({name for path, folders in parents.items() for name in (path, *folders)})
    there: set[str] = set()
    opaque: set[str] = set()
    for start in range(0, len(names), _PATHS_AT_ONCE):
        chunk = [f":(top,literal){name}" for name in names[start : start + _PATHS_AT_ONCE]]
        out = run_git(["ls-tree", "-t", "-z", sha, "--", *chunk], git_dir=mirror.path, limits=_NAMED)
        for entry in out.split(b"\0")[:-1]:
            head, _, name = entry.partition(b"\t")
            path = name.decode(errors="replace")
            there.add(path)
            if head.startswith((b"120000", b"160000")):
                opaque.add(path)
    return frozenset(path for path, folders in parents.items() if path in there or not opaque.isdisjoint(folders))


def _ends(path: str) -> list[int]:
    return [place for place, sign in enumerate(path) if sign == "/"]
