"""What git and the other side say of a fetch or push that failed, as one of our errors. Pure.

A cause is read from the sentences of git and of GitHub alone, each from its first word on: never from a word that a
branch, a repository, a file or a hook's message could have in it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from squire_pipelines.errors import (
    GitError,
    GitHubAuthError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubUnavailableError,
    PublishRefusedError,
    SquireError,
)

# No name of a ref has a space in it. https://git-scm.com/docs/git-push#_output
_STATUS = re.compile(r" ! \[(?P<kind>rejected|remote rejected|remote failure)\] +[^ ]+ -> [^ ]+ \((?P<reason>.*)\)")
_REMOTE = re.compile(r"remote: ?(?P<text>.*?)(?:\x1b\[K)?\s*")
_GITHUB_CODE = re.compile(r"error: (?P<code>GH\d{3}): ")
_HTTP_STATUS = re.compile(
    r"(?:fatal: unable to access '.*': |error: RPC failed; (?:HTTP \d{3} )?curl \d+ )"
    r"The requested URL returned error: (?P<status>\d{3})"
)
_LOCKED = re.compile(r"(?:error: )?cannot lock ref '.*': (?P<why>.*)")
_IN_THE_WAY = re.compile(r"'refs/heads/(?P<branch>.+)' exists; cannot create '.*'")
_MOVED = re.compile(r"is at [0-9a-f]{40} but expected [0-9a-f]{40}|reference already exists")
_WORKFLOW = re.compile(r"refusing to allow an? .{1,80}? to create or update workflow ")
_NO_SUCH_REPOSITORY = re.compile(
    r"fatal: repository '.*' not found|fatal: '.*' does not appear to be a git repository|fatal: '.*' does not exist"
)
_NO_ACCESS = re.compile(r"fatal: Authentication failed for '|fatal: could not read (?:Username|Password) for '")
_NOT_REACHED = re.compile(
    r"(?:fatal: unable to access '.*': |error: RPC failed; (?:HTTP \d{3} )?curl \d+ |fatal: unable to connect to )"
    r"(?:.*?(?:Could not resolve|Failed to connect|Couldn't connect|Connection (?:refused|reset|timed out|closed)"
    r"|Operation timed out|Operation too slow|Recv failure|Send failure|Empty reply|transfer closed|HTTP/2 stream|SSL_"
    r"|gnutls|GnuTLS|TLS))"
)
_BROKE_OFF = re.compile(
    r"fatal: (?:early EOF|the remote end hung up unexpectedly|fetch-pack: unexpected disconnect|expected flush after)"
    r"|(?:send-pack|fetch-pack): unexpected disconnect|fatal: protocol error: "
)
# GitHub's own words for trouble of its own, as the status of the branch or as a line.
_PASSING_STATUS = frozenset(
    {
        *("Internal Server Error", "failure", "remote failed to report status", "Service Unavailable", "timeout"),
        *("failed to update ref", "failed", "internal error"),
    }
)
_PASSING_LINES = frozenset({"Internal Server Error", "fatal error in commit_refs", "Service Unavailable"})
_UNSIGNED = frozenset({"- Commits must have verified signatures.", "error: Commits must have verified signatures."})
_ARCHIVED = "This repository was archived so it is read-only."
_PUSH_PROTECTION = "- GITHUB PUSH PROTECTION"
_BY_CODE = {
    "GH001": "large_file",
    "GH006": "protected_branch",
    "GH007": "email_privacy",
    "GH009": "secret_scanning",
    "GH013": "ruleset",
}
_BY_STATUS = {
    "protected branch hook declined": "protected_branch",
    "push declined due to repository rule violations": "ruleset",
    "push declined due to email privacy restrictions": "email_privacy",
}

_REASONS: dict[str, tuple[str, str]] = {
    "archived": ("is archived and read-only", "unarchive it, or take it out of `repositories`"),
    "secret_scanning": (
        "sees a secret in the commits",
        "look at the change before you let it pass: see the last lines",
    ),
    "signature": (
        "takes signed commits only, and Squire's are not signed",
        "have an App make the commits (publishing.commits), or let its account bypass the rule",
    ),
    "ruleset": (
        "refuses the push by a ruleset",
        "let the token's owner bypass the rule for Squire's branches, or change the ruleset: see the last lines",
    ),
    "protected_branch": (
        "refuses the push by a branch protection",
        "exclude Squire's branches from the protected ones",
    ),
    "workflow_permission": (
        "lets the token change no workflow",
        "give the token or App the permission Workflows (write), a classic token the scope workflow",
    ),
    "large_file": ("takes no file of this size", "have the file left out, or kept in Git LFS: see the last lines"),
    "large_push": ("takes no push of this size", "split the task into smaller ones"),
    "email_privacy": (
        "refuses to publish the commit's address, which its owner keeps private",
        "set `github.bot_email` to an address that may be seen",
    ),
    "branch_in_the_way": (
        "cannot have a branch of this name beside one that it has",
        "delete or rename that branch, or set another `publishing.branch_prefix`",
    ),
    "branch_moved": ("says that somebody else changed the branch while it was being pushed", "retry the task"),
    "hook": (
        "refuses the push",
        "see the last lines: a hook of the repository, or a permission that the token lacks",
    ),
}


@dataclass(frozen=True, slots=True)
class GitAnswer:
    """What git wrote to standard error, by who says it.

    Args:
        kind: Who refused the branch, `rejected` by git itself; None where it did not come to that.
        status: Why, as in the brackets behind the branch's name.
        remote: The lines of the other side.
        own: Git's own lines.
    """

    kind: str | None
    status: str
    remote: tuple[str, ...]
    own: tuple[str, ...]

    @classmethod
    def parse(cls, lines: Sequence[str]) -> "GitAnswer":
        """Read the lines of standard error."""
        remote, own = [], []
        kind, status = None, ""
        for line in lines:
            if line_of_remote := _REMOTE.fullmatch(line):
                remote.append(line_of_remote["text"].strip())
            elif refused := _STATUS.fullmatch(line.rstrip()):
                kind, status = refused["kind"], refused["reason"]
            else:
                own.append(line)
        return cls(kind, status, tuple(remote), tuple(own))

    @property
    def http_status(self) -> int | None:
        """The status of HTTP that git met with."""
        for line in self.own:
            if match := _HTTP_STATUS.match(line):
                return int(match["status"])
        return None

    @property
    def branch_in_the_way(self) -> str | None:
        """The branch that keeps ours from being made; None where none is named."""
        for why in self._locks():
            if match := _IN_THE_WAY.fullmatch(why):
                return match["branch"]
        return None

    def _locks(self) -> Iterator[str]:
        for text in (self.status, *self.remote):
            if match := _LOCKED.fullmatch(text):
                yield match["why"]

    @property
    def refusal(self) -> str | None:
        """The reason of `PublishRefusedError` that it gives; None where nobody refused anything."""
        if self.kind is None:
            return self._refusal_by_http()
        if self.kind == "rejected" or any(_MOVED.match(why) for why in self._locks()):
            return "branch_moved"
        if self.branch_in_the_way is not None or self.status == "directory file conflict":
            return "branch_in_the_way"
        if _WORKFLOW.match(self.status):
            return "workflow_permission"
        if reason := self._refusal_by_lines():
            return reason
        return None if self.is_passing else "hook"

    def _refusal_by_http(self) -> str | None:
        if self.http_status == 403 and _ARCHIVED in self.remote:  # noqa: PLR2004 - HTTP's Forbidden
            return "archived"
        return "large_push" if self.http_status == 413 else None  # noqa: PLR2004 - HTTP's Content Too Large

    def _refusal_by_lines(self) -> str | None:
        if _PUSH_PROTECTION in self.remote:
            return "secret_scanning"
        codes = (match["code"] for line in self.remote if (match := _GITHUB_CODE.match(line)))
        reason = next((_BY_CODE[code] for code in codes if code in _BY_CODE), _BY_STATUS.get(self.status))
        if reason in {"ruleset", "protected_branch"} and _UNSIGNED.intersection(self.remote):
            return "signature"
        if any(line.startswith("fatal: pack exceeds maximum allowed size") for line in self.remote):
            return "large_push"
        return reason

    @property
    def is_passing(self) -> bool:
        """Whether the trouble is the other side's own, or the way's to it, so that the same may work in a moment."""
        if self.kind is not None:
            return self.status in _PASSING_STATUS or bool(_PASSING_LINES.intersection(self.remote))
        if self.http_status is not None:
            return self.http_status >= 500 or self.http_status == 429  # noqa: PLR2004 - HTTP's server errors and limit
        broke_off = any(_NOT_REACHED.match(line) or _BROKE_OFF.match(line) for line in self.own)
        return broke_off or bool(_PASSING_LINES.intersection(self.remote))


def classify_failure(error: GitError, url: str) -> SquireError:
    """Return what a failed fetch or push means: a GitHub error or PublishRefusedError, else `error` itself.

    Args:
        error: As `run_git` raised it.
        url: Of the repository on the other side.
    """
    host, context = urlsplit(url).netloc or "the repository", error.context
    if context.get("timed_out"):
        return GitHubUnavailableError(f"{host} did not answer in time", hint="try again later", context=context)
    lines = context.get("last_lines")
    answer = GitAnswer.parse([str(line) for line in lines] if isinstance(lines, tuple) else [])
    if (reason := answer.refusal) is not None:
        message, hint = _REASONS[reason]
        if branch := answer.branch_in_the_way:
            message = f"has the branch {branch}, beside which it cannot have one of this task's name"
        return PublishRefusedError(f"{host} {message}", reason=reason, hint=hint, context=context)
    if answer.is_passing:
        return GitHubUnavailableError(f"{host} does not answer as it should", hint="try again later", context=context)
    return _no_access(answer, host, error)


def _no_access(answer: GitAnswer, host: str, error: GitError) -> SquireError:
    status, context = answer.http_status, error.context
    if status == 401 or any(_NO_ACCESS.match(line) for line in answer.own):  # noqa: PLR2004 - HTTP's Unauthorized
        return GitHubAuthError(
            f"{host} does not accept the token", hint="renew the secret github-token", context=context
        )
    if status == 403:  # noqa: PLR2004 - HTTP's Forbidden
        return GitHubPermissionError(
            f"{host} does not let the token do this",
            hint="the token needs the permission contents: write",
            context=context,
        )
    if status == 404 or any(_NO_SUCH_REPOSITORY.match(line) for line in answer.own):  # noqa: PLR2004 - Not Found
        return GitHubNotFoundError(
            f"{host} has no such repository, or does not show it to the token",
            hint="check the repository's name and the token's access",
            context=context,
        )
    return error
