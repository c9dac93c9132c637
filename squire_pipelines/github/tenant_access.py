"""Who Squire is to GitHub in each tenant's repositories: one client for all, each request with its tenant's token."""

from collections.abc import Callable
from typing import NoReturn

from squire_pipelines.errors import ConfigError, GitHubAuthError, GitHubPermissionError
from squire_pipelines.github.access import Access, access_from
from squire_pipelines.settings.model import Settings


class TenantAccess:
    """Gives out the token of the tenant whose repository a request is about. Use it in one event loop.

    Args:
        tenant_of: Gives whose a repository is.
        open_access: Gives a tenant's access; called once for each. Raises ConfigError where it cannot be used.
    """

    is_anonymous = False

    def __init__(self, tenant_of: Callable[[str], str], open_access: Callable[[str], Access]) -> None:
        self._tenant_of = tenant_of
        self._open_access = open_access
        self._opened: dict[str, Access] = {}

    def _access_to(self, repository: str | None) -> Access:
        if repository is None:
            raise GitHubAuthError("with tenants, each request is about one repository, and this one names none")
        tenant = self._tenant_of(repository)
        if tenant not in self._opened:
            try:
                access = self._open_access(tenant)
            except ConfigError as error:
                _refuse(tenant, repository, error)
            self._opened[tenant] = access
        return self._opened[tenant]

    async def token(self, repository: str | None, *, write: bool) -> str | None:
        """See `Access`. Raises GitHubPermissionError where the repository's tenant has no access that can be used."""
        return await self._access_to(repository).token(repository, write=write)

    async def credential(self, repository: str | None) -> str:
        """See `Access`: answers and limits are kept by it, and so by tenant where tenants have tokens of their own."""
        return await self._access_to(repository).credential(repository)

    def refused(self, token: str) -> bool:
        """See `Access`."""
        return True in [access.refused(token) for access in self._opened.values()]


def _refuse(tenant: str, repository: str, error: ConfigError) -> NoReturn:
    # Of the kind that is one repository's alone: the others are read all the same.
    raise GitHubPermissionError(
        f"the tenant {tenant} has no access to {repository}: {error.message}", hint=error.hint
    ) from error


def access_to_all(settings: Settings, *, required: bool = False) -> Access:
    """Return the access to all repositories of the settings; with tenants, each has its own.

    Args:
        settings: Of all tenants, or of one.
        required: Whether to refuse where there is no token at all.

    Raises:
        SecretMissingError: The App's key is missing; or, when `required`, the token: with tenants, of all of them.
        ConfigError: As in `find_secret`.
    """
    if not settings.tenants or settings.tenant is not None:
        return access_from(settings, required=required)

    def open_access(tenant: str) -> Access:
        return access_from(settings.for_tenant(tenant), required=True)

    if required:
        _check_one(settings, open_access)
    return TenantAccess(settings.tenant_of, open_access)


def _check_one(settings: Settings, open_access: Callable[[str], Access]) -> None:
    """Raise the first tenant's error where no tenant has access."""
    first: ConfigError | None = None
    for tenant in settings.tenant_names:
        try:
            open_access(tenant)
        except ConfigError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first
