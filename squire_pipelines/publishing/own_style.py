"""Reads how a repository has its pull requests from the base commit: titles from its history, and its template.

What they mean is `domain`'s to say.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from squire_pipelines.domain.title_styles import PastCommit, title_style
from squire_pipelines.errors import GitError
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.publishing.bundle import VerifiedChange
from squire_pipelines.publishing.git import GitLimits, run_git
from squire_pipelines.publishing.request import PublishRequest

MAX_COMMITS = 200
_LIMITS = GitLimits(timeout_s=30.0, max_output=4 * 2**20, truncate=True)
_MARK = "\x01"
"""Begins the line of a commit: git quotes it in names of files."""

_FOLDERS = (".github/", "docs/")
_TEMPLATE_NAME = re.compile(r"pull_request_template(?:\.md|\.txt)?", re.IGNORECASE)
_MAX_TEMPLATE_BYTES = 256 * 1024

_Read = TypeVar("_Read")
_log = get_logger(Component.PUBLISHER)


def past_commits(git_dir: Path, sha: str) -> tuple[PastCommit, ...]:
    """Return the last 200 commits up to one, newest first, without merges, in 4 MiB at most. Raises GitError."""
    options = ("--no-merges", "--no-renames", "--name-only", "--no-show-signature")
    listed = run_git(
        ["log", *options, f"--max-count={MAX_COMMITS}", "--format=%x01%an%x01%s", sha, "--"],
        git_dir=git_dir,
        limits=_LIMITS,
    )
    return tuple(_commits(listed.decode(errors="replace")))


def _commits(listed: str) -> Iterator[PastCommit]:
    for entry in listed.split(f"\n{_MARK}"):
        head, *paths = entry.removeprefix(_MARK).split("\n")
        author, _, title = head.partition(_MARK)
        yield PastCommit(author, title, tuple(path for path in paths if path))


def repository_template(git_dir: Path, sha: str) -> str:
    """Return the template of pull requests that GitHub would offer, empty without one. Raises GitError.

    `pull_request_template` with `.md`, `.txt` or nothing after it, in letters of any case, in `.github`, the root or
    `docs`. Of several templates in a folder GitHub takes none by itself, and neither is one taken here. See
    https://docs.github.com/communities/using-templates-to-encourage-useful-issues-and-pull-requests
    """
    listed = run_git(["ls-tree", "-z", sha, "--", *_FOLDERS, "./"], git_dir=git_dir, limits=_LIMITS)
    blobs: dict[str, str] = {}
    for entry in listed.decode(errors="replace").split("\0"):
        head, _, path = entry.partition("\t")
        folder, _, name = path.rpartition("/")
        if head.startswith("100") and _TEMPLATE_NAME.fullmatch(name):
            blobs.setdefault(folder, head.split()[2])
    blob = next((blobs[folder] for folder in (".github", "", "docs") if folder in blobs), None)
    if blob is None:
        return ""
    text = run_git(["cat-file", "blob", blob], git_dir=git_dir, limits=replace(_LIMITS, max_output=_MAX_TEMPLATE_BYTES))
    return text.decode(errors="replace")


def with_own_style(request: PublishRequest, change: VerifiedChange) -> PublishRequest:
    """Return the request with titles and text as the repository has them, where no setting says how they look.

    The base commit alone is read, so that each repetition gives the same. What cannot be read leaves them as they are.
    What adds to an open pull request repeats no template.
    """
    style = request.style
    if style.titles is None:
        history: tuple[PastCommit, ...] = _readable(past_commits, change, ())
        style = replace(style, titles=title_style(history, (file.path for file in change.files)))
    if style.template is None:
        style = replace(style, template="" if request.follow_up else _readable(repository_template, change, ""))
    return replace(request, style=style)


def _readable(read: Callable[[Path, str], _Read], change: VerifiedChange, otherwise: _Read) -> _Read:
    try:
        return read(change.git_dir, change.base_sha)
    except GitError as error:
        _log.warning("the repository's own style cannot be read", base_sha=change.base_sha, reason=error.message)
        return otherwise
