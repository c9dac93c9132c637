"""From an error to the cause of an attempt's ending: one table, so that no failure is called just "failed"."""

import traceback

from squire_pipelines.domain.endings import Cause, Ending, Evidence
from squire_pipelines.errors import (
    BundleError,
    ConfigError,
    EngineError,
    GitError,
    GitHubError,
    ImageMissingError,
    RefusedError,
    RepositoryError,
    SquireError,
    WorkspaceError,
)

# The first row that fits counts, so that a subclass stands before its base.
_CAUSES: tuple[tuple[type[SquireError], Cause], ...] = (
    (BundleError, Cause.BUNDLE_INVALID),
    (ImageMissingError, Cause.IMAGE_MISSING),
    (EngineError, Cause.ENGINE_LOST),
    (WorkspaceError, Cause.WORKSPACE_ERROR),
    (RepositoryError, Cause.WORKSPACE_ERROR),
    (RefusedError, Cause.PUBLISH_REFUSED),
    (GitError, Cause.WORKSPACE_ERROR),
    (ConfigError, Cause.INTERNAL_ERROR),
)
_LAST_LINES = 20


def ending_of(error: Exception) -> Ending:
    """How an attempt ends that `error` interrupted. What we did not foresee is `internal_error`, with its traceback."""
    if isinstance(error, GitHubError | GitError) and error.retryable:
        return _ending(Cause.GITHUB_UNAVAILABLE, error)
    if isinstance(error, GitHubError):
        return _ending(Cause.PUBLISH_REFUSED, error)
    for kind, cause in _CAUSES:
        if isinstance(error, kind):
            return _ending(cause, error)
    lines = traceback.format_exception(error)
    tail = tuple("".join(lines).splitlines()[-_LAST_LINES:])
    return Ending(
        cause=Cause.INTERNAL_ERROR,
        message=f"{type(error).__name__}: {error}",
        evidence=Evidence(error_code=getattr(error, "code", type(error).__name__), log_tail=tail),
    )


def _ending(cause: Cause, error: SquireError) -> Ending:
    facts = {name: str(value) for name, value in error.context.items()}
    return Ending(cause=cause, message=str(error), evidence=Evidence(error_code=error.code, facts=facts))
