"""Keeps the host's bare mirrors: one per repository, fetched under a lock; base commits and bundles come from them.

Submodules and Git LFS are not followed: a submodule's folder is empty for the agent and an LFS file is its pointer.
`Mirror.notes` says so.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from squire_pipelines.errors import GitError, RepositoryError
from squire_pipelines.files import lock
from squire_pipelines.home import Home
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.publishing.git import GitLimits, run_git
from squire_pipelines.publishing.git_answers import classify_failure
from squire_pipelines.publishing.remote import Remote
from squire_pipelines.secrets import Secret

_log = get_logger(Component.PUBLISHER)
LOCK_TIMEOUT_S = 600.0
MAX_PACKS = 50
# No limit of memory: only what GitHub sent is read.
_LIMITS = GitLimits(timeout_s=600.0, max_memory=None)
LAST_USED = "HEAD"
"""The file of a mirror that has the time of its last fetch; git itself writes it once."""

PRUNE_AGE = "2.weeks.ago"
_NAMES_SHOWN = 10
# Flaws in who and when, and in the order of a tree, that old histories have and GitHub serves. They hurt nobody. What
# harms a checkout, such as a folder `.git`, GitHub refuses as well as we do. An agent's objects may have no flaw.
_FORGIVEN = (
    *("badDate", "badDateOverflow", "badEmail", "badName", "badTimezone", "zeroPaddedDate"),
    *("missingAuthor", "missingEmail", "missingNameBeforeEmail", "missingSpaceBeforeDate", "missingSpaceBeforeEmail"),
    *("multipleAuthors", "nulInCommit", "duplicateEntries", "treeNotSorted", "zeroPaddedFilemode"),
)
_FSCK = ("fetch.fsckObjects=true", *(f"fetch.fsck.{flaw}=ignore" for flaw in _FORGIVEN))
_FETCH_OPTIONS = ("--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--no-auto-gc")


def mirror_path(home: Home, repository: str) -> Path:
    """Return where the mirror of `owner/name` lies."""
    return home.mirrors / f"{repository.replace('/', '+')}.git"


@contextlib.contextmanager
def _locked(path: Path, *, shared: bool, timeout_s: float) -> Iterator[None]:
    """Hold the mirror's lock until the block ends."""
    try:
        mirror = lock(path, timeout_s=timeout_s, shared=shared)
    except TimeoutError:
        raise GitError(
            f"another process has held the mirror's lock {path} for over {timeout_s:g} s",
            hint="a large fetch may be under way; try again later",
        ) from None
    with mirror:
        yield


@dataclass(frozen=True, slots=True)
class Mirror:
    """A bare mirror that was fetched. Reading needs no lock; `shared` keeps its files from being repacked meanwhile."""

    path: Path
    repository: str

    @property
    def lock_path(self) -> Path:
        """The file whose lock writers hold alone."""
        return self.path.with_suffix(".lock")

    @contextlib.contextmanager
    def shared(self, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
        """Keep others from fetching while the mirror's files are being copied."""
        with _locked(self.lock_path, shared=True, timeout_s=timeout_s):
            yield

    def branches(self) -> tuple[str, ...]:
        """Return the names of the branches."""
        out = run_git(["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"], git_dir=self.path)
        return tuple(out.decode(errors="replace").split("\n")[:-1])  # names may hold other ends of lines

    def heads(self) -> dict[str, str]:
        """Return the commit of each branch."""
        listing = run_git(
            ["for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads"], git_dir=self.path
        )
        pairs = (line.partition(" ") for line in listing.decode(errors="replace").split("\n")[:-1])
        return {name: sha for sha, _, name in pairs}

    def resolve(self, ref: str) -> str:
        """Return the commit at the head of the branch `ref`.

        Raises:
            GitError: There is no such branch; the hint names some that there are.
        """
        out = run_git(["show-ref", "--verify", "--hash", f"refs/heads/{ref}"], git_dir=self.path, ok_codes=(0, 1, 128))
        if sha := out.decode().strip():
            return sha
        names = self.branches()
        shown = ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
        raise GitError(
            f"{self.repository} has no branch {ref!r}",
            hint=f"its branches are {shown}",
            context={"repository": self.repository, "ref": ref},
        )

    def write_bundle(self, ref: str, out: Path) -> str:
        """Write the branch with its history as a bundle with the one ref `refs/heads/<ref>`.

        Return the commit that the bundle really has, also when another process fetches meanwhile.
        """
        self.resolve(ref)
        unfinished = out.with_name(out.name + ".part")
        try:
            run_git(
                ["bundle", "create", "--quiet", str(unfinished.absolute()), f"refs/heads/{ref}"],
                git_dir=self.path,
                limits=_LIMITS,
            )
            listed = run_git(["bundle", "list-heads", str(unfinished.absolute())], git_dir=self.path)
            unfinished.replace(out)
        finally:
            unfinished.unlink(missing_ok=True)
        return listed.split(b" ", 1)[0].decode()

    def read_file(self, sha: str, path: str, max_bytes: int) -> bytes | None:
        """Return the first `max_bytes` bytes of a regular file at a commit; None when there is none of that name."""
        listed = run_git(["ls-tree", "-z", sha, "--", f":(top,literal){path}"], git_dir=self.path)
        for entry in listed.split(b"\0"):
            head, _, name = entry.partition(b"\t")
            fields = head.decode().split()
            if name == path.encode() and fields[0].startswith("100"):
                limits = GitLimits(max_output=max_bytes, truncate=True)
                return run_git(["cat-file", "blob", fields[2]], git_dir=self.path, limits=limits)
        return None

    def notes(self, sha: str) -> tuple[str, ...]:
        """Return what agent and reviewer should know of a commit's workspace: what is not in it. One sentence each."""
        notes = []
        if self.read_file(sha, ".gitmodules", 1) is not None:
            notes.append(
                "This repository has submodules. They are not fetched: their folders are empty here, what needs them "
                "cannot be built or tested, and a change of one is refused."
            )
        if b"filter=lfs" in (self.read_file(sha, ".gitattributes", 64 * 1024) or b""):
            notes.append(
                "This repository keeps files in Git LFS. Their content is not fetched: each is a small pointer file "
                "here, which must be left as it is."
            )
        return tuple(notes)


def _clear_leftovers(path: Path) -> None:
    """Remove what a killed git left; to be called with the lock held, so that nobody is using it."""
    for pattern in ("*.lock", "refs/**/*.lock", "objects/**/*.lock", "objects/pack/tmp_*", "objects/**/tmp_obj_*"):
        for leftover in path.glob(pattern):
            leftover.unlink(missing_ok=True)


def _is_sound(path: Path) -> bool:
    try:
        run_git(["fsck", "--connectivity-only", "--no-dangling", "--no-progress"], git_dir=path, limits=_LIMITS)
    except GitError:
        return False
    return True


def _fetch(path: Path, remote: Remote, limits: GitLimits) -> None:
    # Wanting any commit by its id is how a base that its branch has left is still found.
    if not (path / "HEAD").is_file():
        run_git(["init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(path)])
        run_git(["config", "uploadpack.allowAnySHA1InWant", "true"], git_dir=path)
    run_git(
        ["fetch", *_FETCH_OPTIONS, "--", remote.url, "+refs/heads/*:refs/heads/*"],
        git_dir=path,
        remote=remote,
        config=_FSCK,
        limits=limits,
    )


def _fetch_from_scratch(path: Path, remote: Remote, limits: GitLimits) -> None:
    """Fetch into a folder beside, which takes the mirror's place when it is whole."""
    fresh = path.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        _fetch(fresh, remote, limits)
        if path.exists():
            shutil.rmtree(path)
        fresh.rename(path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def fetch_mirror(
    home: Home,
    repository: str,
    clone_url: str,
    token: Secret | None,
    *,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    timeout_s: float = _LIMITS.timeout_s,
    max_packs: int = MAX_PACKS,
) -> Mirror:
    """Bring the mirror of a repository up to date, making it first when there is none.

    Args:
        home: Where the mirrors lie.
        repository: `owner/name`.
        clone_url: See `Remote.parse`; it is not kept.
        token: Offered to the server when it asks.
        lock_timeout_s: How long to wait for others who fetch the same repository.
        timeout_s: How long one fetch may take.
        max_packs: With more packs than these, the mirror is repacked.

    Raises:
        ConfigError: The URL cannot be used.
        RepositoryError: The repository has no commits.
        GitHubError: Not reachable, not found, or not permitted; see `classify_failure`.
        GitError: The lock was not free in time, or git failed otherwise.
    """
    remote = Remote.parse(clone_url, token)
    mirror = Mirror(mirror_path(home, repository), repository)
    limits = replace(_LIMITS, timeout_s=timeout_s)
    with _locked(mirror.lock_path, shared=False, timeout_s=lock_timeout_s):
        try:
            if mirror.path.exists():
                _clear_leftovers(mirror.path)
                try:
                    _fetch(mirror.path, remote, limits)
                except GitError as error:
                    if classify_failure(error, remote.url) is not error or _is_sound(mirror.path):
                        raise
                    _log.warning("mirror is damaged, fetching it again", repository=repository, error=error.message)
                    _fetch_from_scratch(mirror.path, remote, limits)
            else:
                _fetch_from_scratch(mirror.path, remote, limits)
        except GitError as error:
            failure = classify_failure(error, remote.url)
            failure.context = {**failure.context, "repository": repository}
            raise failure from error
        os.utime(mirror.path / LAST_USED)
        if sum(1 for _ in (mirror.path / "objects" / "pack").glob("*.pack")) > max_packs:
            run_git(["gc", "--quiet", f"--prune={PRUNE_AGE}"], git_dir=mirror.path, limits=_LIMITS)
    if not mirror.branches():
        raise RepositoryError(
            f"the repository {repository} has no commits yet", hint="push a first commit, then try again"
        )
    return mirror
