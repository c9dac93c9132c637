"""Finds what an agent made of a conflict: marks that it left, which are not published, and what is the base's alone."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from squire_pipelines.domain.change import ChangedFile, Decision, Finding
from squire_pipelines.publishing.diff import read_objects
from squire_pipelines.publishing.git import GitLimits, run_git
from squire_pipelines.publishing.git_merges import AutomaticMerge

RULE = "conflict_marks"
_BETWEEN = b"======="
_REGULAR = b"100"


def leftover_mark(before: bytes, after: bytes, merge: AutomaticMerge) -> int | None:
    """Return the first line, from 1, of a file that is a mark of conflict; None where none is left.

    The marks around the two sides are known by their labels, which are the ids of the merge's commits: a file may have
    others, as a manual of git has. The line between the sides has no label: there may be no more of them than in the
    automatic merge without its conflicts, since a heading may be underlined so.

    Args:
        before: The file in the automatic merge.
        after: The file as the agent left it.
        merge: The automatic merge.
    """
    lines = after.splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith(merge.marks):
            return number
    earlier = before.splitlines()
    conflicts = sum(line.startswith(merge.marks[0]) for line in earlier)
    if conflicts and lines.count(_BETWEEN) > earlier.count(_BETWEEN) - conflicts:
        return lines.index(_BETWEEN) + 1
    return None


def leftover_marks(
    git_dir: Path, head_sha: str, merge: AutomaticMerge, files: tuple[ChangedFile, ...], limits: GitLimits
) -> tuple[Finding, ...]:
    """Return a finding for each file of a resolved merge that has a mark of conflict left. Raises GitError.

    Args:
        git_dir: Has the head and the automatic merge.
        head_sha: What the agent made of it.
        merge: The automatic merge.
        files: What the agent changed, which may hold what was moved there.
        limits: Of each run of git.
    """
    before, after = _blobs(git_dir, merge.tree, limits), _blobs(git_dir, head_sha, limits)
    paths = [path for path in dict.fromkeys((*merge.conflicts, *(file.path for file in files))) if path in after]
    blobs = [blob for path in paths for blob in (after[path], before.get(path)) if blob]
    contents = {sha: content for sha, _, content in read_objects(git_dir, list(dict.fromkeys(blobs)), limits)}
    return tuple(_findings(paths, before, after, contents, merge))


def files_beyond_base(
    git_dir: Path, head_sha: str, merge: AutomaticMerge, files: tuple[ChangedFile, ...], limits: GitLimits
) -> tuple[ChangedFile, ...]:
    """Return what the agent changed of a merge, without the files that it left as the base has them. Raises GitError.

    Who resolves a conflict by what the base has, such as a file that is no text, or was deleted there, adds nothing.

    Args:
        git_dir: Has the head and the automatic merge.
        head_sha: What the agent made of it.
        merge: The automatic merge.
        files: What the agent changed.
        limits: Of each run of git.
    """
    commits = merge.tree, head_sha, merge.base_head
    start, head, base = (_entries(git_dir, commit, limits) for commit in commits)

    def is_of_base(path: str) -> bool:
        # Another path may be spelled like one with a backslash, which stands for bytes that are no text.
        is_known = "\\" not in path and (path in start or path in head)
        return is_known and head.get(path) == base.get(path)

    return tuple(file for file in files if not is_of_base(file.path))


def _findings(
    paths: list[str],
    before: Mapping[str, str],
    after: Mapping[str, str],
    contents: Mapping[str, bytes],
    merge: AutomaticMerge,
) -> Iterator[Finding]:
    for path in paths:
        earlier = contents.get(before.get(path, ""), b"")
        line = leftover_mark(earlier, contents[after[path]], merge)
        if line is not None:
            yield Finding(RULE, path, line, "has a mark of conflict left", Decision.REJECT)


def _blobs(git_dir: Path, commit: str, limits: GitLimits) -> dict[str, str]:
    """Return the id of each regular file of a commit or tree, by path."""
    return {
        path: head.split()[2].decode()
        for path, head in _entries(git_dir, commit, limits).items()
        if head.startswith(_REGULAR)
    }


def _entries(git_dir: Path, commit: str, limits: GitLimits) -> dict[str, bytes]:
    """Return mode, kind and id of each entry of a commit or tree, by path."""
    listed = run_git(["ls-tree", "-r", "-z", commit], git_dir=git_dir, limits=limits)
    entries = (entry.partition(b"\t") for entry in listed.split(b"\0")[:-1])
    return {path.decode(errors="backslashreplace"): head for head, _, path in entries}
