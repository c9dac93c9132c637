"""Verifying an agent's bundle: hostile bytes in, a repository of our own with a checked change out, or a named error.

Git never runs where an agent could write: the bundle is copied, its header and pack are measured by us, and its
objects go into a fresh bare repository without hooks or configuration. Whether the change may be published is the
policy's to say, not this module's.
"""

import mmap
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from squire_pipelines.domain.change import ChangedFile
from squire_pipelines.errors import BundleError, GitError, SquireError
from squire_pipelines.publishing.diff import EMPTY_TREE, MAX_PATCH_BYTES, batched_objects, changed_files
from squire_pipelines.publishing.git import DEFAULT_MAX_MEMORY, run_git
from squire_pipelines.publishing.mirror import Mirror
from squire_pipelines.publishing.pack import PackMalformedError, PackTooLargeError, PackTruncatedError, measure_pack

_SIGNATURES = {b"# v2 git bundle": 2, b"# v3 git bundle": 3}
_MAX_HEADER_BYTES = 64 * 1024
_SHA = re.compile(r"[0-9a-f]{40}")
_PACK_SUFFIXES = frozenset({".pack", ".idx", ".rev"})
_COPY_CHUNK = 1024 * 1024
_MAX_COMMIT_BYTES = 8 * 2**20


class Problem(StrEnum):
    """What is wrong with a bundle: `BundleError.problem`."""

    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    WRONG_REF = "wrong_ref"
    WRONG_PREREQUISITE = "wrong_prerequisite"
    TOO_LARGE = "too_large"
    NOT_DESCENDANT = "not_descendant"
    EMPTY = "empty"
    FSCK = "fsck"


@dataclass(frozen=True, slots=True)
class BundleLimits:
    """How large a bundle may be, packed and unpacked, and how much time and memory each call of git may take."""

    max_bytes: int = 100 * 2**20
    max_objects: int = 100_000
    max_object_bytes: int = 100 * 2**20
    max_unpacked_bytes: int = 1024 * 2**20
    max_commits: int = 100
    max_patch_bytes: int = MAX_PATCH_BYTES
    timeout_s: float = 120.0
    max_memory: int = DEFAULT_MAX_MEMORY


@dataclass(frozen=True, slots=True)
class Commit:
    """One of the agent's commits: its message, the addresses of author and committer, and the whole object's text."""

    sha: str
    parents: tuple[str, ...]
    message: str
    identities: tuple[str, ...]
    raw: str


@dataclass(frozen=True, slots=True)
class VerifiedChange:
    """A change whose objects are whole and lie in `git_dir`, a bare repository of ours.

    `files` is the difference between base and head; `history` is what the single commits change, when there are
    several, since a push publishes what lies between, too.
    """

    git_dir: Path
    head_sha: str
    base_sha: str
    commits: tuple[Commit, ...]
    files: tuple[ChangedFile, ...]
    history: tuple[ChangedFile, ...]


@dataclass(frozen=True, slots=True)
class BundleHeader:
    """What a bundle says of itself, and where its pack begins."""

    version: int
    prerequisites: tuple[str, ...]
    refs: tuple[tuple[str, str], ...]
    pack_offset: int


def _error(problem: Problem, message: str) -> BundleError:
    return BundleError(f"the agent's bundle {message}", problem=problem.value)


def parse_header(data: bytes) -> BundleHeader:
    """Read a bundle's header from its first bytes. The format: https://git-scm.com/docs/gitformat-bundle.

    Raises:
        BundleError: `truncated` when the header does not end, `unreadable` when it is none.
    """
    first, _, _ = data.partition(b"\n")
    if first not in _SIGNATURES:
        if any(signature.startswith(data) for signature in _SIGNATURES):
            raise _error(Problem.TRUNCATED, "ends within its first line")
        raise _error(Problem.UNREADABLE, "is no git bundle")
    end = data.find(b"\n\n")
    if end < 0:
        raise _error(Problem.TRUNCATED, f"has no end of its header within {_MAX_HEADER_BYTES} bytes")
    lines = [line for line in data[len(first) + 1 : end].decode(errors="replace").split("\n") if line]
    if needed := [line for line in lines if line.startswith("@") and line != "@object-format=sha1"]:
        raise _error(Problem.UNREADABLE, f"needs the capability {needed[0][:100]!r}")
    prerequisites = tuple(line[1:].split(" ", 1)[0] for line in lines if line.startswith("-"))
    refs = tuple((name, sha) for sha, _, name in (line.partition(" ") for line in lines if line[0] not in "@-"))
    if bad := [sha for sha in (*prerequisites, *(sha for _, sha in refs)) if not _SHA.fullmatch(sha)]:
        raise _error(Problem.UNREADABLE, f"names {bad[0][:100]!r} as a commit")
    return BundleHeader(_SIGNATURES[first], prerequisites, refs, end + 2)


def _copy(bundle: Path, out: Path, max_bytes: int) -> None:
    """Copy the bundle to where no agent can change it any more. Follows no link and waits for no pipe."""
    try:
        descriptor = os.open(bundle, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _error(Problem.UNREADABLE, f"cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _error(Problem.UNREADABLE, "is no regular file")
    with os.fdopen(descriptor, "rb") as source, out.open("xb") as target:
        left = max_bytes + 1
        while left > 0 and (chunk := source.read(min(left, _COPY_CHUNK))):
            target.write(chunk)
            left -= len(chunk)
    if left <= 0:
        raise _error(Problem.TOO_LARGE, f"is larger than {max_bytes} bytes")


def _check_header(header: BundleHeader, branch: str, base_sha: str) -> str:
    """The head that the bundle offers."""
    names = [name for name, _ in header.refs]
    if names != [f"refs/heads/{branch}"]:
        shown = ", ".join(names[:5])[:300] or "none"
        raise _error(Problem.WRONG_REF, f"must have the one ref refs/heads/{branch}, it has {shown}")
    if foreign := sorted(set(header.prerequisites) - {base_sha}):
        raise _error(Problem.WRONG_PREREQUISITE, f"builds on {foreign[0]}, not on {base_sha}")
    return header.refs[0][1]


def _measure(copy: Path, header: BundleHeader, limits: BundleLimits) -> None:
    try:
        with copy.open("rb") as file:
            # Not closed by hand: an error's traceback still holds views of it.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        measure_pack(
            memoryview(mapped)[header.pack_offset :],
            max_objects=limits.max_objects,
            max_object_bytes=limits.max_object_bytes,
            max_total_bytes=limits.max_unpacked_bytes,
        )
    except PackTruncatedError as error:
        raise _error(Problem.TRUNCATED, "ends before its last object does") from error
    except PackTooLargeError as error:
        raise _error(Problem.TOO_LARGE, f"holds {error}") from error
    except PackMalformedError as error:
        raise _error(Problem.FSCK, f"is malformed: {error}") from error


def _object_files(objects: Path) -> Iterator[Path]:
    for folder in objects.iterdir():
        if folder.name == "pack":
            yield from (file for file in folder.iterdir() if file.suffix in _PACK_SUFFIXES)
        elif re.fullmatch(r"[0-9a-f]{2}", folder.name):
            yield from (file for file in folder.iterdir() if re.fullmatch(r"[0-9a-f]{38}", file.name))


def _link_objects(mirror: Mirror, git_dir: Path) -> None:
    """Give the scratch repository the mirror's objects: hard links, so that a large repository costs nothing.

    Object files are never changed in place, so sharing them is safe, and unlike alternates it leaves no path in the
    scratch repository that would have to stay true.
    """
    source, target = mirror.path / "objects", git_dir / "objects"
    with mirror.shared():
        for file in _object_files(source):
            copy = target / file.relative_to(source)
            copy.parent.mkdir(exist_ok=True)
            try:
                copy.hardlink_to(file)
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(file, copy)


def _unpack(copy: Path, header: BundleHeader, git_dir: Path, limits: BundleLimits) -> None:
    with copy.open("rb") as file:
        file.seek(header.pack_offset)
        # git reads from the descriptor, whose position is not that of Python's buffer.
        os.lseek(file.fileno(), header.pack_offset, os.SEEK_SET)
        try:
            run_git(
                ["index-pack", "--stdin", "--strict", "--fix-thin", f"--max-input-size={limits.max_bytes}"],
                git_dir=git_dir,
                stdin=file,
                timeout_s=limits.timeout_s,
                max_memory=limits.max_memory,
            )
        except GitError as error:
            if error.context.get("out_of_memory") or error.context.get("timed_out"):
                raise _named(error) from error
            raise _error(Problem.FSCK, f"does not hold sound objects: {error.message}") from error


def _commits(git_dir: Path, base_sha: str, head_sha: str, limits: BundleLimits) -> tuple[Commit, ...]:
    """The commits beyond the base, newest first, as their objects say it and not as a format would show it."""
    listed = _asked(
        ["rev-list", f"--max-count={limits.max_commits + 1}", f"{base_sha}..{head_sha}"], git_dir, limits
    ).decode()
    shas = listed.split()
    if len(shas) > limits.max_commits:
        raise _error(Problem.TOO_LARGE, f"holds more than {limits.max_commits} commits")
    stdin = "".join(f"{sha}\n" for sha in shas).encode()
    out = _asked(["cat-file", "--batch"], git_dir, limits, stdin=stdin, max_output=_MAX_COMMIT_BYTES)
    return tuple(_commit(sha, raw) for sha, raw in batched_objects(out))


def _commit(sha: str, raw: bytes) -> Commit:
    head, _, message = raw.partition(b"\n\n")
    lines = head.split(b"\n")
    parents = tuple(line[7:].decode() for line in lines if line.startswith(b"parent "))
    people = [line for line in lines if line.startswith((b"author ", b"committer "))]
    # fsck has made sure that there is one address in each.
    identities = tuple(line.partition(b"<")[2].partition(b">")[0].decode(errors="replace") for line in people)
    text = raw.decode(errors="replace")
    return Commit(sha, parents, message.decode(errors="replace"), identities, text)


def _asked(args: Sequence[str], git_dir: Path, limits: BundleLimits, **more: Any) -> bytes:
    """Ask git about the agent's objects; what it cannot answer within its bounds is too large. Raises BundleError."""
    try:
        return run_git(args, git_dir=git_dir, timeout_s=limits.timeout_s, max_memory=limits.max_memory, **more)
    except GitError as error:
        raise _named(error) from error


def _named(error: GitError) -> SquireError:
    """`error` as the fault of the bundle that it is: nothing but the agent's objects was read."""
    if error.context.get("overflowed"):
        return _error(Problem.TOO_LARGE, "holds more than can be looked at")
    if error.context.get("out_of_memory"):
        return _error(Problem.TOO_LARGE, "needs more memory than git may have here")
    if error.context.get("timed_out"):
        return _error(Problem.TOO_LARGE, "takes longer to look at than it may")
    return _error(Problem.FSCK, f"is not whole: {error.message}")


def _check_history(git_dir: Path, base_sha: str, head_sha: str, limits: BundleLimits) -> None:
    kind = _asked(["cat-file", "-t", head_sha], git_dir, limits).decode().strip()
    if kind != "commit":
        raise _error(Problem.FSCK, f"offers a {kind} as its head")
    # The walk is git's own check that nothing is missing, blobs too.
    _asked(["rev-list", "--objects", "--quiet", head_sha, f"^{base_sha}"], git_dir, limits)
    base = _asked(["merge-base", base_sha, head_sha], git_dir, limits, ok_codes=(0, 1)).decode().strip()
    if base != base_sha:
        raise _error(Problem.NOT_DESCENDANT, f"has the head {head_sha}, which does not build on {base_sha}")


def verify_bundle(
    bundle: Path, mirror: Mirror, *, branch: str, base_sha: str, scratch: Path, limits: BundleLimits | None = None
) -> VerifiedChange:
    """Check an agent's bundle and unpack it into a fresh repository.

    Args:
        bundle: The file as the agent left it; believed in nothing.
        mirror: Where the base commit comes from.
        branch: The one branch that the bundle must hold.
        base_sha: The commit that the agent was given.
        scratch: A folder for the copy and the repository, where no agent can write; emptied first.
        limits: How large it may be.

    Raises:
        BundleError: `problem` says what is wrong.
        GitError: The mirror does not have the base, or git itself failed.
    """
    limits = limits or BundleLimits()
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, mode=0o700)
    copy, git_dir = scratch / "bundle", scratch / "repository.git"
    _copy(bundle, copy, limits.max_bytes)
    with copy.open("rb") as file:
        header = parse_header(file.read(_MAX_HEADER_BYTES))
    head_sha = _check_header(header, branch, base_sha)
    if head_sha == base_sha:
        raise _error(Problem.EMPTY, "holds no commit beyond the base")
    _measure(copy, header, limits)
    run_git(["init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(git_dir)])
    _link_objects(mirror, git_dir)
    run_git(["cat-file", "-e", f"{base_sha}^{{commit}}"], git_dir=git_dir)
    _unpack(copy, header, git_dir, limits)
    _check_history(git_dir, base_sha, head_sha, limits)
    commits = _commits(git_dir, base_sha, head_sha, limits)
    try:
        files = _changes(git_dir, base_sha, head_sha, limits)
        single = len(commits) == 1
        history = () if single else tuple(_history(git_dir, commits, limits))
    except GitError as error:
        raise _named(error) from error
    if not files:
        raise _error(Problem.EMPTY, "changes nothing")
    return VerifiedChange(git_dir, head_sha, base_sha, commits, files, history)


def _changes(git_dir: Path, base: str, head: str, limits: BundleLimits) -> tuple[ChangedFile, ...]:
    return changed_files(
        git_dir,
        base,
        head,
        timeout_s=limits.timeout_s,
        max_patch_bytes=limits.max_patch_bytes,
        max_memory=limits.max_memory,
    )


def _history(git_dir: Path, commits: tuple[Commit, ...], limits: BundleLimits) -> Iterator[ChangedFile]:
    left = limits.max_patch_bytes
    for commit in commits:
        parent = commit.parents[0] if commit.parents else EMPTY_TREE
        files = changed_files(
            git_dir,
            parent,
            commit.sha,
            timeout_s=limits.timeout_s,
            max_patch_bytes=max(1, left),
            max_memory=limits.max_memory,
        )
        left -= sum(len(line) for file in files for _, line in file.added_lines)
        yield from files
