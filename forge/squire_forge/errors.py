"""The errors that the forge raises on purpose: each has a message, a hint at what to do next and an exit code."""

from typing import ClassVar


class ForgeError(Exception):
    """Base of all errors of the forge.

    Args:
        message: What happened, naming the value at fault, in one sentence.
        hint: What to do next; empty when there is nothing to do.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(ForgeError):
    """The command line or the forge's folder cannot be used."""

    exit_code = 3


class SchemaVersionError(ConfigError):
    """The database was written by another version of the forge."""


class NotReachableError(ForgeError):
    """The forge does not answer, or did not start."""

    exit_code = 4


class PortInUseError(NotReachableError):
    """The port that the forge must listen on is taken."""


class RefusedError(ForgeError):
    """The forge refuses a request; `status` is the HTTP status, where it is not the route's usual one."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class GitError(ForgeError):
    """A git command failed."""


class RepositoryError(ForgeError):
    """A local path cannot be hosted as a repository."""
