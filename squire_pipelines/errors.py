"""The one tree of errors. Exceptions are for what interrupts a caller; how an attempt ended is a value (`Ending`).

SquireError
├── ConfigError            the settings or the command line cannot be used            exit 3
│   ├── SettingError       one setting, at its line of the file                       exit 3
│   ├── SecretMissingError a secret that is needed is nowhere to be found             exit 3
│   └── SecretStoreError   the encrypted file of secrets cannot be read or written   exit 3
│       └── PassphraseError    its passphrase is missing or wrong                     exit 3
├── NotReachableError      something outside does not answer                 retryable, exit 4
│   ├── EngineError        the container engine
│   ├── CredentialSourceError what gives a cloud's credentials
│   └── PortInUseError     a port that we must listen on is taken             not retryable
├── RefusedError           refused by policy, permission or budget                    exit 5
│   ├── ProviderBudgetError the limit of a day of each of a model's providers has no room
│   └── PublishRefusedError the branch holds somebody else's commits, or GitHub refuses the push
├── LedgerError            the ledger cannot be used
│   ├── StateConflictError a change of state whose expected state was not found
│   ├── LeaseLostError     somebody else holds the attempt now
│   └── SchemaVersionError the ledger's schema is newer than this code                exit 3
├── NotFoundError          a task, attempt or plan that does not exist                exit 1
├── GitHubError            GitHub answered with an error
│   ├── GitHubAuthError        401: the token is not accepted                         exit 3
│   ├── GitHubPermissionError  403: the token may not do this                         exit 5
│   ├── GitHubNotFoundError    404: no such repository, or not visible to the token
│   ├── GitHubRateLimitError   a primary or secondary limit               retryable after a time
│   ├── GitHubValidationError  422: the request was understood and refused
│   ├── GitHubUnavailableError 5xx, time-out, connection lost                 retryable, exit 4
│   └── DeliveryError          a webhook delivery is not what GitHub sends
├── GitError               a git command failed
│   └── BundleError        an agent's bundle is not what it must be
├── JudgementError         strangers' data that the child which judged it did not survive
├── SourceError            a source of signals has nothing to give
├── RepositoryError        a local path cannot be used as a repository                exit 2
├── PlanningError          a planner gave no usable plan
│   ├── ModelRefusedError  the model's provider refuses what only the user can change     exit 3
│   ├── PlanBudgetError    a budget has no room for a plan                                exit 5
│   └── ModelUnavailableError the model's provider did not begin to answer         retryable, exit 4
├── WorkspaceError         an attempt's workspace could not be written or read
├── BuildFailedError       an agent's image could not be built from what was downloaded
├── ImageMissingError      the worker image is not on the engine                      exit 3
└── WarehouseError         the warehouse cannot be read or published
    └── QueryError         a query of the user's is wrong or not permitted            exit 2
"""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any, ClassVar


class ExitCode(IntEnum):
    """What the `squire` command answers to its caller."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    NOT_REACHABLE = 4
    REFUSED = 5
    PARTLY = 6  # some repositories could not be used, each with its reason; the others were served


class SquireError(Exception):
    """Base of all errors that we raise on purpose.

    Args:
        message: What happened, naming the value at fault, in one sentence.
        hint: What to do next; empty when there is nothing to do.
        context: The values that a reader of the log needs; never a secret.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "", context: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.context: Mapping[str, object] = MappingProxyType(dict(context or {}))

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes the same error in another process: its class, its arguments and its attributes."""
        return rebuild_error, (type(self), self.args, self.__dict__ | {"context": dict(self.context)})


def rebuild_error(kind: type["SquireError"], args: tuple[object, ...], attributes: dict[str, object]) -> "SquireError":
    """Return an error as `SquireError.__reduce__` described it."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class ConfigError(SquireError):
    """The settings or the command line cannot be used."""

    code = "config"
    exit_code = ExitCode.CONFIGURATION


class SettingError(ConfigError):
    """A setting, or the file that has it, cannot be used; `place` shows the line at fault, or what else is wrong."""

    code = "setting"

    def __init__(
        self, message: str, *, hint: str = "", place: str = "", context: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message, hint=hint, context=context)
        self.place = place


class SecretMissingError(ConfigError):
    """A secret that is needed is nowhere to be found."""

    code = "secret_missing"


class SecretStoreError(ConfigError):
    """The encrypted file of secrets cannot be read or written; nothing was changed."""

    code = "secret_store"


class PassphraseError(SecretStoreError):
    """The passphrase of the encrypted file of secrets is missing or wrong."""

    code = "passphrase"


class NotReachableError(SquireError):
    """Something outside does not answer."""

    code = "not_reachable"
    retryable = True
    exit_code = ExitCode.NOT_REACHABLE


class EngineError(NotReachableError):
    """The container engine does not answer, or answers with an error of its own."""

    code = "engine"


class CredentialSourceError(NotReachableError):
    """What gives a cloud's credentials does not answer."""

    code = "credential_source"


class PortInUseError(NotReachableError):
    """A port that we must listen on is taken."""

    code = "port_in_use"
    retryable = False


class RefusedError(SquireError):
    """Refused by policy, permission or budget."""

    code = "refused"
    exit_code = ExitCode.REFUSED


class ProviderBudgetError(RefusedError):
    """The limit of a day of each of a model's providers has no room."""

    code = "provider_budget"


class PublishRefusedError(RefusedError):
    """The branch cannot be pushed or the pull request not be opened; `reason` names why.

    `branch_taken`, `branch_moved`: it holds somebody else's commits. `api_commit`: GitHub's API made another commit.
    `permission`, `validation`: GitHub refuses the pull request. Those of a push are in `publishing.git_answers`.
    """

    code = "publish_refused"

    def __init__(
        self, message: str, *, reason: str = "refused", hint: str = "", context: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message, hint=hint, context={"reason": reason, **(context or {})})
        self.reason = reason


class LedgerError(SquireError):
    """The ledger cannot be used."""

    code = "ledger"


class StateConflictError(LedgerError):
    """A change of state whose expected state was not found; nothing was changed."""

    code = "state_conflict"


class LeaseLostError(LedgerError):
    """The fencing token is no longer the attempt's: somebody else holds it, or it has ended."""

    code = "lease_lost"


class SchemaVersionError(LedgerError):
    """The ledger's schema is newer than this code, or no schema of ours."""

    code = "schema_version"
    exit_code = ExitCode.CONFIGURATION


class NotFoundError(SquireError):
    """A task, attempt or plan that does not exist."""

    code = "not_found"


class GitHubError(SquireError):
    """GitHub answered with an error."""

    code = "github"


class GitHubAuthError(GitHubError):
    """401: the token is not accepted."""

    code = "github_auth"
    exit_code = ExitCode.CONFIGURATION


class GitHubPermissionError(GitHubError):
    """403: the token may not do this."""

    code = "github_permission"
    exit_code = ExitCode.REFUSED


class GitHubNotFoundError(GitHubError):
    """404: there is no such repository or object, or the token may not see it."""

    code = "github_not_found"


class GitHubRateLimitError(GitHubError):
    """A primary or secondary rate limit; `retry_after_s` says how long to wait, longer each time unless `is_stated`.

    `is_secondary` tells whether it is about how requests are made, and not about the quota of their kind.
    """

    code = "github_rate_limit"
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float,
        is_stated: bool = True,
        is_secondary: bool = False,
        hint: str = "",
        context: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, context=context)
        self.retry_after_s = retry_after_s
        self.is_stated, self.is_secondary = is_stated, is_secondary


class GitHubValidationError(GitHubError):
    """422: the request was understood and refused."""

    code = "github_validation"


class GitHubUnavailableError(GitHubError):
    """5xx, a time-out, or the connection was refused or lost."""

    code = "github_unavailable"
    retryable = True
    exit_code = ExitCode.NOT_REACHABLE


class DeliveryError(GitHubError):
    """A webhook delivery is not what GitHub sends: a header is missing, or the body cannot be read."""

    code = "delivery"


class GitError(SquireError):
    """A git command failed; the context holds its arguments, exit code and last lines."""

    code = "git"


class BundleError(GitError):
    """An agent's bundle is not what it must be; `problem` is one of `publishing.bundle.BundleProblem`."""

    code = "bundle"

    def __init__(
        self, message: str, *, problem: str = "invalid", hint: str = "", context: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message, hint=hint, context={"problem": problem, **(context or {})})
        self.problem = problem


class JudgementError(SquireError):
    """Strangers' data that gave no answer; `verdict` is one of `judgement.JudgementVerdict`."""

    code = "judgement"

    def __init__(self, message: str, *, verdict: str, context: Mapping[str, object] | None = None) -> None:
        super().__init__(message, context={"verdict": verdict, **(context or {})})
        self.verdict = verdict


class SourceError(SquireError):
    """A source of signals cannot be read, or yields what is no fact."""

    code = "source"


class RepositoryError(SquireError):
    """A local path cannot be used as a repository."""

    code = "repository"
    exit_code = ExitCode.USAGE


class PlanningError(SquireError):
    """A planner gave no usable plan."""

    code = "planning"


class PlanBudgetError(PlanningError):
    """A budget has no room for a conversation about a plan."""

    code = "budget"
    exit_code = ExitCode.REFUSED


class ModelRefusedError(PlanningError):
    """The model's provider refuses what only the user can change: the key, the model, the quota or the address."""

    code = "configuration"
    exit_code = ExitCode.CONFIGURATION


class ModelUnavailableError(PlanningError):
    """The model's provider did not begin to answer: it cannot be reached, has an error of its own, or is too slow."""

    code = "model_unavailable"
    retryable = True
    exit_code = ExitCode.NOT_REACHABLE


class WorkspaceError(SquireError):
    """An attempt's workspace could not be written or read."""

    code = "workspace"


class BuildFailedError(SquireError):
    """An agent's image could not be built from what was downloaded; `place` is the end of what the build wrote."""

    code = "build_failed"

    def __init__(self, message: str, *, hint: str = "", place: str = "") -> None:
        super().__init__(message, hint=hint)
        self.place = place


class ImageMissingError(SquireError):
    """The worker image is not on the engine."""

    code = "image_missing"
    exit_code = ExitCode.CONFIGURATION


class WarehouseError(SquireError):
    """The warehouse cannot be read or published."""

    code = "warehouse"


class QueryError(WarehouseError):
    """A query of the user's is wrong, or does what a query may not; `place` is the line at fault with marks below."""

    code = "query"
    exit_code = ExitCode.USAGE

    def __init__(
        self, message: str, *, hint: str = "", context: Mapping[str, object] | None = None, place: str = ""
    ) -> None:
        super().__init__(message, hint=hint, context=context)
        self.place = place
