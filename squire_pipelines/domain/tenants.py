"""Tenants: the teams that share one Squire. Their names, and which repository is whose. Pure."""

import re
from collections.abc import Mapping, Sequence

from squire_pipelines.domain.globs import matches

DEFAULT_TENANT = "default"
"""To whom the repositories belong that no tenant of the settings names: the house, with its general settings."""

# Neither hyphens nor underscores: a tenant's name is a part of the names of its secrets' variables and of files.
_NAME = re.compile(r"[a-z][a-z0-9]{0,23}")


class RepositoryOfTwoTenantsError(ValueError):
    """A repository, or a pattern, that two tenants name; both stand in the message."""


def check_tenant_name(name: str) -> str:
    """Return the name of a tenant of the settings. Raises ValueError for one that cannot be, or that is taken."""
    if name == DEFAULT_TENANT:
        raise ValueError(f"{DEFAULT_TENANT} is the tenant of repositories that no other names: choose another name")
    if not _NAME.fullmatch(name):
        raise ValueError("the name of a tenant has up to 24 small letters and digits, like alpha")
    return name


def parse_tenant(name: str) -> str:
    """Return the name of a tenant, the default one too. Raises ValueError for one that cannot be."""
    return name if name == DEFAULT_TENANT else check_tenant_name(name)


def tenant_of(repository: str, patterns: Mapping[str, Sequence[str]]) -> str:
    """Return whose a repository is: of the one tenant that names it or has a pattern for it, else the default one.

    Args:
        repository: `owner/name`.
        patterns: By tenant: names and patterns, in which `*` and `?` stay within an owner or a name.

    Raises:
        RepositoryOfTwoTenantsError: Two tenants have it.
    """
    first_matches = {name: matches(repository, known, beneath=False) for name, known in patterns.items()}
    owners = {name: pattern for name, pattern in first_matches.items() if pattern is not None}
    if len(owners) > 1:
        (first, by), (second, also_by), *_ = owners.items()
        raise RepositoryOfTwoTenantsError(
            f"{repository} belongs to the tenant {first}, by {by!r}, and to {second}, by {also_by!r}; a repository has "
            "one tenant"
        )
    return next(iter(owners), DEFAULT_TENANT)


def check_patterns(patterns: Mapping[str, Sequence[str]]) -> None:
    """Check that no two tenants have the same name or pattern of repositories. Raises RepositoryOfTwoTenantsError."""
    owners: dict[str, str] = {}
    for name, known in patterns.items():
        for pattern in known:
            other = owners.setdefault(pattern.casefold(), name)
            if other != name:
                raise RepositoryOfTwoTenantsError(
                    f"{pattern} belongs to the tenants {other} and {name}; a repository has one tenant"
                )
