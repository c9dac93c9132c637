"""Reads how a repository writes its titles from the base commit's history. What that means is `domain`'s to say."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

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


def with_own_titles(request: PublishRequest, change: VerifiedChange) -> PublishRequest:
    """Return the request with titles as the repository's history has them, where no setting says how they look.

    The base commit alone is read, so that each repetition gives the same. A history that cannot be read leaves titles
    as they are.
    """
    if request.style.titles is not None:
        return request
    try:
        history = past_commits(change.git_dir, change.base_sha)
    except GitError as error:
        _log.warning("titles stay plain: the history cannot be read", task_id=request.task_id, reason=error.message)
        history = ()
    titles = title_style(history, (file.path for file in change.files))
    return replace(request, style=replace(request.style, titles=titles))
