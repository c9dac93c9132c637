import pytest

from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import (
    BundleError,
    ConfigError,
    CredentialSourceError,
    EngineError,
    GitError,
    GitHubAuthError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubRateLimitError,
    GitHubUnavailableError,
    GitHubValidationError,
    ImageMissingError,
    LedgerError,
    PublishRefusedError,
    RefusedError,
    RepositoryError,
    SecretMissingError,
    WorkspaceError,
)
from squire_pipelines.execution.ending import ending_of
from squire_pipelines.ledger.store import IS_AWAY


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (BundleError("x"), Cause.BUNDLE_INVALID),
        (ImageMissingError("x"), Cause.IMAGE_MISSING),
        (EngineError("x"), Cause.ENGINE_LOST),
        (WorkspaceError("x"), Cause.WORKSPACE_ERROR),
        (RepositoryError("x"), Cause.WORKSPACE_ERROR),
        (RefusedError("x"), Cause.PUBLISH_REFUSED),
        (PublishRefusedError("x"), Cause.PUBLISH_REFUSED),
        (GitError("x"), Cause.WORKSPACE_ERROR),
        (GitHubUnavailableError("x"), Cause.GITHUB_UNAVAILABLE),
        (GitHubRateLimitError("x", retry_after_s=1), Cause.GITHUB_UNAVAILABLE),
        (GitHubAuthError("x"), Cause.PUBLISH_REFUSED),
        (GitHubPermissionError("x"), Cause.PUBLISH_REFUSED),
        (GitHubNotFoundError("x"), Cause.PUBLISH_REFUSED),
        (GitHubValidationError("x"), Cause.PUBLISH_REFUSED),
        (ConfigError("x"), Cause.INTERNAL_ERROR),
        (SecretMissingError("x"), Cause.CONFIGURATION),
        (CredentialSourceError("x"), Cause.PROVIDER_ERROR),
        (LedgerError("x", context={IS_AWAY: True}), Cause.LOST),
        (LedgerError("x"), Cause.INTERNAL_ERROR),
        (ValueError("x"), Cause.INTERNAL_ERROR),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_every_error_has_its_cause(error: Exception, cause: Cause) -> None:
    assert ending_of(error).cause is cause


def test_the_ending_keeps_what_the_error_knew() -> None:
    ending = ending_of(GitError("git fetch failed", hint="look", context={"exit_code": 128}))
    assert ending.message == "git fetch failed (look)"
    assert ending.evidence.error_code == "git"
    assert ending.evidence.facts == {"exit_code": "128"}


def test_what_nobody_foresaw_keeps_its_last_lines() -> None:
    try:
        int("not a number")
    except ValueError as error:
        ending = ending_of(error)
    assert ending.message.startswith("ValueError: invalid literal")
    assert ending.evidence.error_code == "ValueError"
    assert any('int("not a number")' in line for line in ending.evidence.log_tail)
    assert len(ending.evidence.log_tail) <= 20
