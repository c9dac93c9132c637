"""What a delivery says of a repository itself, of the App's installation, and of what people may do. Pure.

Pull requests, checks, pushes and comments are `events`' and `comments`'.
https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from squire_pipelines.domain.repository_changes import InstallationChange, NamedRepository, RepositoryChange
from squire_pipelines.github.models import GitHubModel, Text

_ACCOUNT_ACTIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "installation": frozenset({"created", "deleted", "suspend", "unsuspend", "new_permissions_accepted"}),
        "installation_repositories": frozenset({"added", "removed"}),
        "organization": frozenset({"member_added", "member_removed"}),
        "membership": frozenset({"added", "removed"}),
    }
)
_PEOPLE_ACTIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "member": frozenset({"added", "edited", "removed"}),
        "team": frozenset({"added_to_repository", "removed_from_repository", "deleted", "edited"}),
    }
)
_OF_PEOPLE = frozenset({"organization", "membership"})


class DeliveredRepository(GitHubModel):
    """A repository in a delivery."""

    id: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    full_name: Text
    archived: bool = False


class _Account(GitHubModel):
    login: Text


class _Installation(GitHubModel):
    account: _Account | None = None


class _Installed(GitHubModel):
    installation: _Installation
    repositories_added: tuple[DeliveredRepository, ...] = ()
    repositories_removed: tuple[DeliveredRepository, ...] = ()


def is_of_account(event: str, action: str | None) -> bool:
    """Return whether a delivery says something though it is about no repository, or about many."""
    return event == "ping" or action in _ACCOUNT_ACTIONS.get(event, frozenset())


def changes_people(event: str, action: str | None) -> bool:
    """Return whether a delivery changes what people may do: in its repository, or in those of its organisation."""
    if event in _OF_PEOPLE:
        return is_of_account(event, action)
    return event == "team_add" or action in _PEOPLE_ACTIONS.get(event, frozenset())


def repository_change(action: str | None, repository: DeliveredRepository, *, by: str | None) -> RepositoryChange:
    """Return what a delivery of the event `repository` says."""
    return RepositoryChange(
        action=action or "", github_id=repository.id, name=repository.full_name, archived=repository.archived, by=by
    )


def installation_change(
    event: str, action: str | None, data: Mapping[str, object], *, by: str | None
) -> InstallationChange | None:
    """Return what a delivery says of the App's installation; None for another event. Raises ValidationError."""
    if event not in {"installation", "installation_repositories"} or not is_of_account(event, action):
        return None
    installed = _Installed.model_validate(data)
    if installed.installation.account is None:
        return None
    added, removed = (
        tuple(NamedRepository(one.id, one.full_name) for one in listed)
        for listed in (installed.repositories_added, installed.repositories_removed)
    )
    return InstallationChange(
        action=action or "", account=installed.installation.account.login, added=added, removed=removed, by=by
    )
