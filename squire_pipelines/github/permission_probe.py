"""Finding out what a token may do in a repository, which GitHub lets nobody ask directly."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from squire_pipelines.errors import GitHubError, GitHubNotFoundError, GitHubPermissionError, GitHubValidationError
from squire_pipelines.github.client import GitHubClient

_CONFLICT = 409


@dataclass(frozen=True, slots=True)
class PermissionProbe:
    """What one question showed: `permission` is one of `permissions.REQUIRED`, `level` the one that was tried.

    `not_found` is a 404: GitHub says so where a permission is missing and it hides what there is, and a server that is
    not GitHub says so where it has no such address.
    """

    permission: str
    level: str
    state: Literal["granted", "missing", "not_found", "unknown"]


async def probe_permissions(
    client: GitHubClient, repository: str, branch: str, *, writes_statuses: bool = False
) -> tuple[PermissionProbe, ...]:
    """Find out what the client's token may do in `repository`; with `writes_statuses`, whether it may set a status.

    Reading is tried. Writing is asked for with a body that lacks what is required: GitHub refuses it with 422 when
    the token may write there, and with 403 or 404 when not. Nothing is changed either way.

    Raises:
        GitHubError: GitHub does not answer, or does not accept the token at all.
    """
    repo, commit = f"/repos/{repository}", quote(branch, safe="")
    reading = {
        "contents": f"{repo}/commits",
        "pull_requests": f"{repo}/pulls",
        "issues": f"{repo}/issues",
        "checks": f"{repo}/commits/{commit}/check-runs",
        "statuses": f"{repo}/commits/{commit}/status",
    }
    writing = {"contents": f"{repo}/git/refs", "pull_requests": f"{repo}/pulls"}
    if writes_statuses:
        writing["statuses"] = f"{repo}/statuses/{'0' * 40}"
    probes = [await _read(client, permission, path) for permission, path in reading.items()]
    readable = {probe.permission for probe in probes if probe.state == "granted"}
    probes += [await _write(client, name, path) for name, path in writing.items() if name in readable]
    return tuple(probes)


async def _read(client: GitHubClient, permission: str, path: str) -> PermissionProbe:
    try:
        await client.get(path, {"per_page": 1})
    except GitHubPermissionError:
        return PermissionProbe(permission, "read", "missing")
    except GitHubNotFoundError:
        return PermissionProbe(permission, "read", "not_found")
    except GitHubValidationError as error:
        empty = error.context.get("status") == _CONFLICT  # a repository without a commit
        return PermissionProbe(permission, "read", "granted" if empty else "unknown")
    return PermissionProbe(permission, "read", "granted")


async def _write(client: GitHubClient, permission: str, path: str) -> PermissionProbe:
    try:
        await client.post(path, {})
    except GitHubPermissionError:
        return PermissionProbe(permission, "write", "missing")
    except GitHubNotFoundError:
        return PermissionProbe(permission, "write", "not_found")
    except GitHubValidationError:
        return PermissionProbe(permission, "write", "granted")
    except GitHubError:
        return PermissionProbe(permission, "write", "unknown")
    return PermissionProbe(permission, "write", "unknown")  # GitHub accepted what it should have refused
