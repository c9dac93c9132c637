"""A repository on another machine: which URLs are allowed, how git gets the token, and what a failure there means."""

import contextlib
import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from squire_pipelines.errors import (
    ConfigError,
    GitError,
    GitHubAuthError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubUnavailableError,
    PublishRefusedError,
    SquireError,
)
from squire_pipelines.files import write_atomically
from squire_pipelines.secrets import Secret

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository to fetch from or push to: its URL without credentials, the one protocol allowed, and the token."""

    url: str
    protocol: str
    token: Secret | None = None

    @classmethod
    def parse(cls, url: str, token: Secret | None = None) -> "Remote":
        """Check a URL: `https`, `http` to this machine only, or the absolute path of a repository on this machine.

        Raises:
            ConfigError: Another protocol, plain HTTP to another machine, or credentials within the URL.
        """
        if url.startswith("/"):
            return cls(url, "file", None)
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise ConfigError(
                f"the URL of the repository on {parts.hostname} carries credentials",
                hint="leave them out; the token is kept as the secret github-token",
            )
        if parts.scheme == "file" and not parts.hostname:
            return cls(url, "file", None)
        if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            return cls(url, parts.scheme, token)
        raise ConfigError(
            f"{url!r} cannot be used as a repository's URL", hint="use https://; http:// is for this machine only"
        )

    @contextlib.contextmanager
    def credentials(self) -> Iterator[tuple[str, ...]]:
        """Keep the token in a private file until the block ends, and yield the git settings that name the file.

        Command lines and environments are seen by other processes of the machine, a URL ends in git's messages.
        """
        if self.token is None:
            yield ()
            return
        parts = urlsplit(self.url)
        with tempfile.TemporaryDirectory(prefix="squire-git-", ignore_cleanup_errors=True) as folder:  # mode 0700
            store = Path(folder) / "credentials"
            line = f"{parts.scheme}://x-access-token:{quote(self.token.reveal(), safe='')}@{parts.netloc}\n"
            write_atomically(store, line.encode(), durable=False)
            yield (f"credential.helper=store --file={shlex.quote(str(store))}",)


# What the other side says of a push that a rule of the repository forbids: pattern, reason, message, hint.
_REFUSALS: tuple[tuple[re.Pattern[str], str, str, str], ...] = (
    (
        re.compile(r"archived"),
        "archived",
        "is archived and read-only",
        "unarchive it, or take it out of `repositories`",
    ),
    (
        re.compile(r"GH009|push protection|secret-scanning", re.IGNORECASE),
        "secret_scanning",
        "sees a secret in the commits",
        "look at the change before you let it pass: see the last lines",
    ),
    (
        re.compile(r"GH013|rule violations"),
        "ruleset",
        "refuses the push by a ruleset",
        "let the token's owner bypass the rule for `squire/**`, or change the ruleset",
    ),
    (
        re.compile(r"GH006|protected branch"),
        "protected_branch",
        "refuses the push by a branch protection",
        "exclude `squire/**` from the protected branches",
    ),
    (re.compile(r"GH001|large file", re.IGNORECASE), "large_file", "takes no file of this size", "see the last lines"),
    (
        re.compile(r"remote rejected|pre-receive hook declined|GH\d{3}:"),
        "hook",
        "refuses the push",
        "see the last lines: a rule of the repository, or a permission that the token lacks",
    ),
)
_REMOTE_ERRORS: tuple[tuple[re.Pattern[str], type[SquireError], str, str], ...] = (
    (
        re.compile(r"Authentication failed|could not read (?:Username|Password)|error: 401|Invalid username or"),
        GitHubAuthError,
        "does not accept the token",
        "renew the secret github-token",
    ),
    (
        re.compile(r"error: 403|Permission to .* denied|Write access to repository not granted"),
        GitHubPermissionError,
        "does not let the token do this",
        "the token needs the permission contents: write",
    ),
    (
        re.compile(r"error: 404|[Rr]epository .*not found|does not appear to be a git repository|does not exist"),
        GitHubNotFoundError,
        "has no such repository, or does not show it to the token",
        "check the repository's name and the token's access",
    ),
    (
        re.compile(
            r"Could not resolve|Failed to connect|Connection (?:refused|reset|timed out)|error: (?:5\d\d|429)"
            r"|early EOF|hung up|RPC failed|Operation timed out|SSL_|gnutls|TLS"
        ),
        GitHubUnavailableError,
        "does not answer as it should",
        "try again later",
    ),
)


def classify_failure(error: GitError, remote: Remote) -> SquireError:
    """Return what a failed fetch or push means: a GitHub error or PublishRefusedError, else `error` itself."""
    host = urlsplit(remote.url).netloc or "the repository"
    if error.context.get("timed_out"):
        return GitHubUnavailableError(f"{host} did not answer in time", hint="try again later", context=error.context)
    lines = error.context.get("last_lines")
    text = "\n".join(lines) if isinstance(lines, tuple) else ""
    for pattern, reason, message, hint in _REFUSALS:
        if pattern.search(text):
            return PublishRefusedError(f"{host} {message}", reason=reason, hint=hint, context=error.context)
    for pattern, kind, message, hint in _REMOTE_ERRORS:
        if pattern.search(text):
            return kind(f"{host} {message}", hint=hint, context=error.context)
    return error
