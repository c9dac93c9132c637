"""The narrowest permissions that Squire works with, and what of them is missing. Pure.

The names are those of fine-grained tokens and of Apps:
https://docs.github.com/rest/authentication/permissions-required-for-github-apps
"""

from collections.abc import Mapping
from types import MappingProxyType

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

OPTIONAL: Mapping[str, tuple[str, ...]] = MappingProxyType({"actions": ("write", "read")})
"""The levels that are of use, the highest first. To write is to run failed jobs again. To read are the names of failed
workflows and the logs of their jobs; without it failed checks are known by their report alone."""

_LEVELS = ("none", "read", "write", "admin")


def _covers(granted: str | None, needed: str) -> bool:
    level = granted if granted in _LEVELS else "none"
    return _LEVELS.index(level) >= _LEVELS.index(needed)


def missing(granted: Mapping[str, str]) -> tuple[str, ...]:
    """Return what of `REQUIRED` is not in `granted`, in words: `pull_requests: write`."""
    return tuple(f"{name}: {level}" for name, level in REQUIRED.items() if not _covers(granted.get(name), level))


def to_request(granted: Mapping[str, str], *, write: bool) -> dict[str, str]:
    """Return the permissions to request for a token: no more than is needed, and reading alone unless `write`."""
    needed = dict(REQUIRED)
    for name, levels in OPTIONAL.items():
        if (level := next((level for level in levels if _covers(granted.get(name), level)), None)) is not None:
            needed[name] = level
    return needed if write else dict.fromkeys(needed, "read")
