"""Reads what a change does to each file, for the policy to judge. Git reads; nothing of the change is run.

No external diff, no textconv, no attributes: a `.gitattributes` of the agent's cannot hide a line from the judge.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from squire_pipelines.domain.change import ChangedFile
from squire_pipelines.errors import GitError
from squire_pipelines.files import write_atomically
from squire_pipelines.publishing.git import GitLimits, run_git

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
MAX_DIFF_BYTES = 128 * 1024
"""So much of a difference is shown to people. What was written of a longer one is longer than this."""

_MAX_SYMLINK_BYTES = 4096
_SYMLINK = "120000"
_GITLINK = "160000"
_NOTHING = "0" * 40
_OPTIONS = ("-r", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=none")
_HUNK = re.compile(rb"@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")
# Attributes are read from the empty tree by those gits that would otherwise read them from a bare repository's HEAD.
_TOO_LONG = {"overflowed": True}
_NO_ATTRIBUTES = {"GIT_ATTR_SOURCE": EMPTY_TREE}


@dataclass(frozen=True, slots=True)
class _FileChange:
    """One line of `diff-tree --raw`."""

    old_mode: str
    new_mode: str
    new_sha: str
    status: str
    path: bytes


def _parse_listing(out: bytes) -> tuple[list[_FileChange], dict[bytes, tuple[int, int, bool]]]:
    """Split `--raw --numstat -z`: first every raw entry with its path, then added, deleted and path of each."""
    tokens = iter(out.split(b"\0")[:-1])
    entries: list[_FileChange] = []
    counts: dict[bytes, tuple[int, int, bool]] = {}
    for token in tokens:
        if token.startswith(b":"):
            old_mode, new_mode, _, new_sha, status = token[1:].decode().split(" ")
            entries.append(_FileChange(old_mode, new_mode, new_sha, status[0], next(tokens)))
        else:
            added, deleted, path = token.split(b"\t", 2)
            binary = added == b"-"
            counts[path] = (0, 0, True) if binary else (int(added), int(deleted), False)
    return entries, counts


def _sizes(git_dir: Path, shas: Sequence[str], limits: GitLimits) -> dict[str, int]:
    if not shas:
        return {}
    out = run_git(
        ["cat-file", "--batch-check=%(objectname) %(objectsize)"], git_dir=git_dir, stdin=_lines(shas), limits=limits
    )
    return {sha: int(size) for sha, size in (line.split(" ") for line in out.decode().splitlines())}


def batched_objects(out: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Yield id, kind and content of each object in the output of `cat-file --batch`."""
    position = 0
    while position < len(out):
        end = out.index(b"\n", position)
        sha, kind, size = out[position:end].decode().split(" ")
        yield sha, kind, out[end + 1 : end + 1 + int(size)]
        position = end + 1 + int(size) + 1


def read_objects(git_dir: Path, shas: Sequence[str], limits: GitLimits) -> Iterator[tuple[str, str, bytes]]:
    """Yield id, kind and content of each of these objects. Raises GitError."""
    if shas:
        out = run_git(["cat-file", "--batch"], git_dir=git_dir, stdin=_lines(shas), limits=limits)
        yield from batched_objects(out)


def link_targets(git_dir: Path, shas: Sequence[str], limits: GitLimits) -> dict[str, str]:
    """Return what each of these symbolic links points to, but for those that are too long for one. Raises GitError."""
    short = [sha for sha, size in _sizes(git_dir, shas, limits).items() if size <= _MAX_SYMLINK_BYTES]
    objects = read_objects(git_dir, short, limits)
    return {sha: content.decode(errors="backslashreplace") for sha, _, content in objects}


def _lines(shas: Sequence[str]) -> bytes:
    return "".join(f"{sha}\n" for sha in shas).encode()


def _added_lines(patch: bytes, entries: Sequence[_FileChange]) -> list[tuple[tuple[int, str], ...]]:
    """Return the added lines of each entry: the patch has one block for each, in the same order.

    The paths in the patch are not read, since their quoting would have to be undone. Content begins with `+` or `-`,
    so a line that begins with `diff --git` is a block's first. A change of type is shown as a deletion and a creation.
    """
    owners = [index for index, entry in enumerate(entries) for _ in range(2 if entry.status == "T" else 1)]
    lines: list[list[tuple[int, str]]] = [[] for _ in entries]
    block, number, in_hunk = -1, 0, False
    for line in patch.split(b"\n"):
        if line.startswith(b"diff --git "):
            block, in_hunk = block + 1, False
        elif match := _HUNK.match(line):
            number, in_hunk = int(match[1]), True
        elif in_hunk and line.startswith(b"+"):
            if block < len(owners):
                lines[owners[block]].append((number, line[1:].decode(errors="surrogateescape")))
            number += 1
    if block + 1 != len(owners):
        raise GitError(
            f"git listed {len(owners)} changed files and showed {block + 1}",
            context={"files": len(owners), "blocks": block + 1},
        )
    return [tuple(added) for added in lines]


def changed_files(
    git_dir: Path, base: str, head: str, limits: GitLimits, *, max_patch_bytes: int, max_lines: int
) -> tuple[ChangedFile, ...]:
    """Return what is different between two commits or trees, file by file.

    Args:
        git_dir: A bare repository that no agent could write.
        base: The commit or tree before; `EMPTY_TREE` for a first commit.
        head: The commit or tree after.
        limits: Of each of the four runs of git.
        max_patch_bytes: How long the text of the difference may be.
        max_lines: How many lines it may have: an empty one has one byte, and a hundred in our memory.

    Raises:
        GitError: Git failed, or the difference is too long (`overflowed` in the context).
    """
    listing = run_git(
        ["diff-tree", *_OPTIONS, "-z", "--raw", "--numstat", "--no-abbrev", base, head],
        git_dir=git_dir,
        environment=_NO_ATTRIBUTES,
        limits=limits,
    )
    entries, counts = _parse_listing(listing)
    patch = run_git(
        ["diff-tree", *_OPTIONS, "-p", "-U0", "--text", "--irreversible-delete", base, head],
        git_dir=git_dir,
        environment=_NO_ATTRIBUTES,
        limits=replace(limits, max_output=max_patch_bytes),
    )
    if (lines_of_patch := patch.count(b"\n")) > max_lines:
        raise GitError(f"the difference has {lines_of_patch} lines, the limit is {max_lines}", context=_TOO_LONG)
    lines = _added_lines(patch, entries)
    blobs = sorted({e.new_sha for e in entries if e.new_sha != _NOTHING and e.new_mode != _GITLINK})
    sizes = _sizes(git_dir, blobs, limits)
    targets = link_targets(git_dir, sorted({e.new_sha for e in entries if e.new_mode == _SYMLINK}), limits)
    files = []
    for entry, added_lines in zip(entries, lines, strict=True):
        added, deleted, binary = counts[entry.path]
        symlink = entry.new_mode == _SYMLINK
        target = targets.get(entry.new_sha, "") if symlink else None
        files.append(
            ChangedFile(
                # A path that is no UTF-8 gets backslashes, which the policy refuses.
                path=entry.path.decode(errors="backslashreplace"),
                status=entry.status,
                old_mode=entry.old_mode,
                new_mode=entry.new_mode,
                added=added,
                deleted=deleted,
                bytes=sizes.get(entry.new_sha, 0),
                binary=binary,
                added_lines=added_lines,
                symlink_target=target,
                sha="" if entry.new_sha == _NOTHING else entry.new_sha,
            )
        )
    return tuple(files)


def write_diff(git_dir: Path, base: str, head: str, limits: GitLimits, out: Path) -> None:
    """Write the difference between two commits as people read it, with one byte more than is shown at most.

    Raises:
        GitError: Git failed.
        OSError: The file cannot be written.
    """
    patch = run_git(
        ["diff-tree", *_OPTIONS, "-p", base, head],
        git_dir=git_dir,
        environment=_NO_ATTRIBUTES,
        limits=replace(limits, max_output=MAX_DIFF_BYTES + 1, truncate=True),
    )
    write_atomically(out, patch, durable=False)
