"""Verifies an agent's bundle: hostile bytes in, a repository of our own with a checked change out, or a named error.

Git never runs where an agent could write: the bundle is copied, its header and pack are measured by us, and its
objects go into a fresh bare repository without hooks or configuration. Whether the change may be published is the
policy's to say, not this module's.
"""

import mmap
import os
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from squire_pipelines.domain.change import ChangedFile, Piece
from squire_pipelines.errors import BundleError, GitError
from squire_pipelines.files import copy_bounded, open_untrusted
from squire_pipelines.publishing.diff import changed_files, read_objects
from squire_pipelines.publishing.git import GitLimits, run_git
from squire_pipelines.publishing.mirror import Mirror
from squire_pipelines.publishing.objects import agent_objects, odd_modes, searched_piece, tree_paths
from squire_pipelines.publishing.pack import PackMalformedError, PackTooLargeError, PackTruncatedError, check_pack
from squire_pipelines.sections.tasks import PublishingSettings

_SIGNATURES = {b"# v2 git bundle": 2, b"# v3 git bundle": 3}
_MAX_HEADER_BYTES = 64 * 1024
_SHA = re.compile(r"[0-9a-f]{40}")
_PACK_SUFFIXES = frozenset({".pack", ".idx", ".rev"})
_MAX_COMMIT_BYTES = 8 * 2**20


class BundleProblem(StrEnum):
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
class AgentCommit:
    """One of the agent's commits: its id, its parents and its message."""

    sha: str
    parents: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class VerifiedChange:
    """A change whose objects are whole and lie in `git_dir`, a bare repository of ours.

    `files` is the difference between base and head; `pieces` is every object that the agent made, to be searched;
    `tree` is the path of every file at the head, `links` path and target of its symbolic links.
    """

    git_dir: Path
    head_sha: str
    base_sha: str
    commits: tuple[AgentCommit, ...]
    files: tuple[ChangedFile, ...]
    pieces: tuple[Piece, ...]
    tree: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class BundleHeader:
    """What a bundle says of itself, and where its pack begins."""

    version: int
    prerequisites: tuple[str, ...]
    refs: tuple[tuple[str, str], ...]
    pack_offset: int


def _error(problem: BundleProblem, message: str) -> BundleError:
    return BundleError(f"the agent's bundle {message}", problem=problem.value)


def parse_header(data: bytes) -> BundleHeader:
    """Read a bundle's header from its first bytes. The format: https://git-scm.com/docs/gitformat-bundle.

    Raises:
        BundleError: `truncated` when the header does not end, `unreadable` when it is none.
    """
    first, _, _ = data.partition(b"\n")
    if first not in _SIGNATURES:
        if any(signature.startswith(data) for signature in _SIGNATURES):
            raise _error(BundleProblem.TRUNCATED, "ends within its first line")
        raise _error(BundleProblem.UNREADABLE, "is no git bundle")
    end = data.find(b"\n\n")
    if end < 0:
        raise _error(BundleProblem.TRUNCATED, f"has no end of its header within {_MAX_HEADER_BYTES} bytes")
    lines = [line for line in data[len(first) + 1 : end].decode(errors="replace").split("\n") if line]
    if needed := [line for line in lines if line.startswith("@") and line != "@object-format=sha1"]:
        raise _error(BundleProblem.UNREADABLE, f"needs the capability {needed[0][:100]!r}")
    prerequisites = tuple(line[1:].split(" ", 1)[0] for line in lines if line.startswith("-"))
    refs = tuple((name, sha) for sha, _, name in (line.partition(" ") for line in lines if line[0] not in "@-"))
    if bad := [sha for sha in (*prerequisites, *(sha for _, sha in refs)) if not _SHA.fullmatch(sha)]:
        raise _error(BundleProblem.UNREADABLE, f"names {bad[0][:100]!r} as a commit")
    return BundleHeader(_SIGNATURES[first], prerequisites, refs, end + 2)


def _copy(bundle: Path, out: Path, max_bytes: int) -> None:
    """Copy the bundle to where no agent can change it any more. Follows no link and waits for no pipe."""
    try:
        file = open_untrusted(bundle)
    except OSError as error:
        raise _error(BundleProblem.UNREADABLE, f"cannot be read: {error.strerror}") from error
    with file as source, out.open("xb") as target:
        whole = copy_bounded(source, target, max_bytes)
    if not whole:
        raise _error(BundleProblem.TOO_LARGE, f"is larger than {max_bytes} bytes")


def _check_header(header: BundleHeader, branch: str) -> str:
    """Return the head that the bundle offers."""
    names = [name for name, _ in header.refs]
    if names != [f"refs/heads/{branch}"]:
        shown = ", ".join(names[:5])[:300] or "none"
        raise _error(BundleProblem.WRONG_REF, f"must have the one ref refs/heads/{branch}, it has {shown}")
    return header.refs[0][1]


def _check_prerequisites(git_dir: Path, header: BundleHeader, base_sha: str, limits: GitLimits) -> None:
    """Refuse a bundle that builds on more than the base and its history, which hold all that the agent was given.

    Whoever merges a branch that began below the base, or reverts a merge, builds on commits below the base, too.
    """
    others = sorted(set(header.prerequisites) - {base_sha})
    if not others:
        return
    try:
        beyond = run_git(["rev-list", "--max-count=1", *others, f"^{base_sha}"], git_dir=git_dir, limits=limits)
    except GitError as error:
        if error.context.get("timed_out") or error.context.get("out_of_memory"):
            raise _classify(error) from error
        beyond = others[0].encode()  # one that the host does not have
    if beyond:
        message = f"builds on {beyond.decode().strip()}, which is not in the history of {base_sha}"
        raise _error(BundleProblem.WRONG_PREREQUISITE, message)


def _measure(copy: Path, header: BundleHeader, settings: PublishingSettings) -> None:
    try:
        with copy.open("rb") as file:
            # Not closed by hand: an error's traceback still holds views of it.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        check_pack(
            memoryview(mapped)[header.pack_offset :],
            max_objects=settings.max_objects,
            max_object_bytes=settings.max_object,
            max_total_bytes=settings.max_unpacked,
        )
    except PackTruncatedError as error:
        raise _error(BundleProblem.TRUNCATED, "ends before its last object does") from error
    except PackTooLargeError as error:
        raise _error(BundleProblem.TOO_LARGE, f"holds {error}") from error
    except PackMalformedError as error:
        raise _error(BundleProblem.FSCK, f"is malformed: {error}") from error


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


def _unpack(copy: Path, header: BundleHeader, git_dir: Path, max_bytes: int, limits: GitLimits) -> None:
    with copy.open("rb") as file:
        file.seek(header.pack_offset)
        # git reads from the descriptor, whose position is not that of Python's buffer.
        os.lseek(file.fileno(), header.pack_offset, os.SEEK_SET)
        try:
            run_git(
                ["index-pack", "--stdin", "--strict", "--fix-thin", f"--max-input-size={max_bytes}"],
                git_dir=git_dir,
                stdin=file,
                limits=limits,
            )
        except GitError as error:
            if error.context.get("out_of_memory") or error.context.get("timed_out"):
                raise _classify(error) from error
            raise _error(BundleProblem.FSCK, f"does not hold sound objects: {error.message}") from error


def _commits(git_dir: Path, base_sha: str, head_sha: str, most: int, limits: GitLimits) -> tuple[AgentCommit, ...]:
    """Return the commits beyond the base, newest first, read from their objects and not from a format of git's."""
    listed = run_git(
        ["rev-list", f"--max-count={most + 1}", f"{base_sha}..{head_sha}"],
        git_dir=git_dir,
        limits=limits,
    )
    shas = listed.decode().split()
    if len(shas) > most:
        raise _error(BundleProblem.TOO_LARGE, f"holds more than {most} commits")
    bounded = replace(limits, max_output=_MAX_COMMIT_BYTES)
    return tuple(_commit(sha, raw) for sha, _, raw in read_objects(git_dir, shas, bounded))


def _pieces(
    git_dir: Path, base_sha: str, head_sha: str, files: tuple[ChangedFile, ...], limits: GitLimits
) -> Iterator[Piece]:
    paths = {file.sha: file.path for file in files}
    for sha, kind, content in agent_objects(git_dir, base_sha, head_sha, limits):
        if kind == "tree" and (mode := next(odd_modes(content), None)):
            raise _error(BundleProblem.FSCK, f"holds an entry of the mode {mode}")
        yield searched_piece(sha, kind, content, paths)


def _commit(sha: str, raw: bytes) -> AgentCommit:
    head, _, message = raw.partition(b"\n\n")
    parents = tuple(line[7:].decode() for line in head.split(b"\n") if line.startswith(b"parent "))
    return AgentCommit(sha, parents, message.decode(errors="replace"))


def _classify(error: GitError) -> BundleError:
    """Return what is wrong with the bundle: the failed git read nothing but the agent's objects."""
    if error.context.get("overflowed"):
        return _error(BundleProblem.TOO_LARGE, "holds more than can be looked at")
    if error.context.get("out_of_memory"):
        return _error(BundleProblem.TOO_LARGE, "needs more memory than git may have here")
    # SIGKILL is the kernel's, at the hard limit of processor time.
    if error.context.get("timed_out") or error.context.get("exit_code") == -signal.SIGKILL:
        return _error(BundleProblem.TOO_LARGE, "takes longer to look at than it may")
    return _error(BundleProblem.FSCK, f"is not whole: {error.message}")


def _check_history(git_dir: Path, base_sha: str, head_sha: str, limits: GitLimits) -> None:
    kind = run_git(["cat-file", "-t", head_sha], git_dir=git_dir, limits=limits).decode().strip()
    if kind != "commit":
        raise _error(BundleProblem.FSCK, f"offers a {kind} as its head")
    # The walk is git's own check that nothing is missing, blobs too.
    run_git(["rev-list", "--objects", "--quiet", head_sha, f"^{base_sha}"], git_dir=git_dir, limits=limits)
    base = run_git(["merge-base", base_sha, head_sha], git_dir=git_dir, ok_codes=(0, 1), limits=limits)
    if base.decode().strip() != base_sha:
        raise _error(BundleProblem.NOT_DESCENDANT, f"has the head {head_sha}, which does not build on {base_sha}")


def verify_bundle(
    bundle: Path,
    mirror: Mirror,
    *,
    branch: str,
    base_sha: str,
    scratch: Path,
    settings: PublishingSettings | None = None,
    may_be_empty: bool = False,
) -> VerifiedChange:
    """Check an agent's bundle and unpack it into a fresh repository.

    Args:
        bundle: The file as the agent left it; believed in nothing.
        mirror: Where the base commit comes from.
        branch: The one branch that the bundle must hold.
        base_sha: The commit that the agent was given.
        scratch: A folder for the copy and the repository, where no agent can write; emptied first.
        settings: How large it may be, and how much git may take to look at it.
        may_be_empty: Whether a commit that changes nothing is taken.

    Raises:
        BundleError: `problem` says what is wrong.
        GitError: The mirror does not have the base, or git itself failed.
    """
    settings = settings or PublishingSettings()
    limits = GitLimits(timeout_s=settings.git_timeout_s, max_memory=settings.git_memory)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, mode=0o700)
    copy, git_dir = scratch / "bundle", scratch / "repository.git"
    _copy(bundle, copy, settings.max_bundle)
    with copy.open("rb") as file:
        header = parse_header(file.read(_MAX_HEADER_BYTES))
    head_sha = _check_header(header, branch)
    if head_sha == base_sha:
        raise _error(BundleProblem.EMPTY, "holds no commit beyond the base")
    _measure(copy, header, settings)
    run_git(["init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(git_dir)])
    _link_objects(mirror, git_dir)
    run_git(["cat-file", "-e", f"{base_sha}^{{commit}}"], git_dir=git_dir)
    _check_prerequisites(git_dir, header, base_sha, limits)
    _unpack(copy, header, git_dir, settings.max_bundle, limits)
    try:
        _check_history(git_dir, base_sha, head_sha, limits)
        commits = _commits(git_dir, base_sha, head_sha, settings.max_commits, limits)
        files = changed_files(
            git_dir, base_sha, head_sha, limits, max_patch_bytes=settings.max_patch, max_lines=settings.max_lines
        )
        bounded = replace(limits, max_output=settings.max_patch)
        pieces = tuple(_pieces(git_dir, base_sha, head_sha, files, bounded))
        tree, links = tree_paths(git_dir, head_sha, bounded)
    except BundleError:
        raise
    except GitError as error:
        raise _classify(error) from error
    if not files and not may_be_empty:
        raise _error(BundleProblem.EMPTY, "changes nothing")
    return VerifiedChange(git_dir, head_sha, base_sha, commits, files, pieces, tree, links)
