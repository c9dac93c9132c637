"""What Squire may do at GitHub: the narrowest permissions that it works with, and how to find out what a token has.

The names are those of fine-grained tokens and of Apps:
https://docs.github.com/rest/authentication/permissions-required-for-github-apps
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from squire_pipelines.errors import GitHubError, GitHubNotFoundError, GitHubPermissionError, GitHubValidationError

if TYPE_CHECKING:
    from squire_pipelines.github.client import GitHubClient

REQUIRED: Mapping[str, str] = MappingProxyType(
    {
        "metadata": "read",
        "contents": "write",
        "pull_requests": "write",
        "issues": "read",
        "checks": "read",
        "statuses": "read",
    }
)
"""Without one of these Squire cannot do its work."""

OPTIONAL: Mapping[str, str] = MappingProxyType({"actions": "read"})
"""The names of failed workflows; without it failed checks are known by their own names alone."""

_LEVELS = ("none", "read", "write", "admin")
_CONFLICT = 409


@dataclass(frozen=True, slots=True)
class Probe:
    """What one question showed: `permission` is one of `REQUIRED`, `level` the one that was tried."""

    permission: str
    level: str
    state: Literal["granted", "missing", "unknown"]
    said: str = ""


def _covers(granted: str | None, needed: str) -> bool:
    level = granted if granted in _LEVELS else "none"
    return _LEVELS.index(level) >= _LEVELS.index(needed)


def missing(granted: Mapping[str, str]) -> tuple[str, ...]:
    """What of `REQUIRED` is not in `granted`, in words: `pull_requests: write`."""
    return tuple(f"{name}: {level}" for name, level in REQUIRED.items() if not _covers(granted.get(name), level))


def asked(granted: Mapping[str, str], *, write: bool) -> dict[str, str]:
    """The permissions to ask for when a token is made: no more than is needed, and reading alone unless `write`."""
    wanted = {**REQUIRED, **{name: level for name, level in OPTIONAL.items() if _covers(granted.get(name), level)}}
    return wanted if write else dict.fromkeys(wanted, "read")


async def probe(client: "GitHubClient", repository: str, branch: str) -> tuple[Probe, ...]:
    """Find out what the client's token may do in `repository`, of which GitHub lets nobody ask directly.

    Reading is tried. Writing is asked for with a body that lacks what is required: GitHub refuses it with 422 when
    the token may write there, and with 403 or 404 when not. Nothing is changed either way.

    Raises:
        GitHubError: GitHub does not answer, or does not accept the token at all.
    """
    repo = f"/repos/{repository}"
    reading = {
        "contents": f"{repo}/commits",
        "pull_requests": f"{repo}/pulls",
        "issues": f"{repo}/issues",
        "checks": f"{repo}/commits/{branch}/check-runs",
        "statuses": f"{repo}/commits/{branch}/status",
    }
    writing = {"contents": f"{repo}/git/refs", "pull_requests": f"{repo}/pulls"}
    found = [await _read(client, permission, path) for permission, path in reading.items()]
    readable = {each.permission for each in found if each.state == "granted"}
    found += [await _write(client, name, path) for name, path in writing.items() if name in readable]
    return tuple(found)


async def _read(client: "GitHubClient", permission: str, path: str) -> Probe:
    try:
        await client.get(path, {"per_page": 1})
    except (GitHubPermissionError, GitHubNotFoundError) as error:
        return Probe(permission, "read", "missing", error.hint)
    except GitHubValidationError as error:
        empty = error.context.get("status") == _CONFLICT  # a repository without a commit
        return Probe(permission, "read", "granted" if empty else "unknown", error.message)
    return Probe(permission, "read", "granted")


async def _write(client: "GitHubClient", permission: str, path: str) -> Probe:
    try:
        await client.post(path, {})
    except (GitHubPermissionError, GitHubNotFoundError) as error:
        return Probe(permission, "write", "missing", error.hint)
    except GitHubValidationError:
        return Probe(permission, "write", "granted")
    except GitHubError as error:
        return Probe(permission, "write", "unknown", error.message)
    return Probe(permission, "write", "unknown", "GitHub accepted a request that it should have refused")
