"""How an attempt ends: the cause that an error stands for, the refusal of what cannot start, and the recorded end."""

import traceback
from dataclasses import dataclass

from squire_pipelines.domain.endings import Cause, Ending, Evidence
from squire_pipelines.errors import (
    BundleError,
    ConfigError,
    CredentialSourceError,
    EngineError,
    GitError,
    GitHubError,
    ImageMissingError,
    LedgerError,
    ProviderBudgetError,
    RefusedError,
    RepositoryError,
    SecretMissingError,
    SquireError,
    StateConflictError,
    WorkspaceError,
)
from squire_pipelines.execution.startable import why_not_startable
from squire_pipelines.file_store.errors import FileStoreError, StoredFileTakenError
from squire_pipelines.ledger import adoption, attempts
from squire_pipelines.ledger.attempts import Attempt, RetryRule, Settled
from squire_pipelines.ledger.store import IS_AWAY, Ledger
from squire_pipelines.settings.model import Settings

# The first row that fits counts, so that a subclass stands before its base.
_CAUSES: tuple[tuple[type[SquireError], Cause], ...] = (
    (BundleError, Cause.BUNDLE_INVALID),
    (ImageMissingError, Cause.IMAGE_MISSING),
    (EngineError, Cause.ENGINE_LOST),
    (WorkspaceError, Cause.WORKSPACE_ERROR),
    (RepositoryError, Cause.WORKSPACE_ERROR),
    (ProviderBudgetError, Cause.BUDGET_EXHAUSTED),
    (RefusedError, Cause.PUBLISH_REFUSED),
    (GitError, Cause.WORKSPACE_ERROR),
    (CredentialSourceError, Cause.PROVIDER_ERROR),
    (StoredFileTakenError, Cause.WORKSPACE_ERROR),
    (FileStoreError, Cause.STORE_UNAVAILABLE),
    (SecretMissingError, Cause.CONFIGURATION),
    (ConfigError, Cause.INTERNAL_ERROR),
)
_LAST_LINES = 20


def ending_of(error: Exception) -> Ending:
    """Return how an attempt ends that `error` interrupted; an unforeseen one is `internal_error` with its traceback."""
    if isinstance(error, GitHubError | GitError) and error.retryable:
        return _ending(Cause.GITHUB_UNAVAILABLE, error)
    if isinstance(error, GitHubError):
        return _ending(Cause.PUBLISH_REFUSED, error)
    if isinstance(error, LedgerError) and error.context.get(IS_AWAY):
        return _ending(Cause.LOST, error)
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


def retry_rule(settings: Settings, repository: str) -> RetryRule:
    """Return how this repository's attempts are tried again."""
    more_memory = settings.agent_for(repository).oom_retry_memory is not None
    rules = settings.choice_rules(repository)
    return RetryRule(settings.dispatch.retry_base_s, settings.dispatch.retry_cap_s, more_memory, rules)


def refuse_unstartable(ledger: Ledger, settings: Settings, attempt_id: str, *, run_id: str) -> Ending | None:
    """End a queued attempt that cannot start with these settings, before anything is claimed for it.

    Returns:
        How it ended, or None when it can start or has been claimed already.
    """
    ending = why_not_startable(ledger, settings, attempt_id)
    if ending is None:
        return None
    with ledger.write() as tx:
        repository = attempts.get(tx, attempt_id).repository
        rule = retry_rule(settings, repository)
        adoption.refuse(tx, attempt_id, ending, retry=rule, actor=f"run:{run_id}")
    return ending


@dataclass(frozen=True, slots=True)
class SettledAttempt:
    """An attempt whose end has been recorded, and what follows for its task."""

    attempt: Attempt
    ending: Ending
    settled: Settled


def settle(ledger: Ledger, settings: Settings, attempt_id: str, *, run_id: str) -> SettledAttempt:
    """Record the staged ending of the run's attempt.

    Raises:
        StateConflictError: The attempt is another run's, or has ended.
        LeaseLostError: Its lease was taken over meanwhile.
    """
    with ledger.write() as tx:
        attempt = attempts.get(tx, attempt_id)
        if attempt.run_id != run_id or attempt.lease_token is None:
            raise StateConflictError(
                f"attempt {attempt_id} does not belong to this run any more: {attempt.cause or attempt.status}",
                hint="see the task's history: `squire tasks show`",
            )
        unknown = Ending(cause=Cause.INTERNAL_ERROR, message="no step said how the attempt ended")
        ending = attempt.staged_ending or unknown
        rule = retry_rule(settings, attempt.repository)
        settled = attempts.settle(tx, attempt_id, attempt.lease_token, ending, retry=rule, actor=f"run:{run_id}")
    return SettledAttempt(attempt, ending, settled)
