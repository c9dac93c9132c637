"""Finds the key of a model's provider as a repository's tenant has it."""

from collections.abc import Callable

from squire_pipelines.secrets import Secret
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.settings.model import Settings

FindKey = Callable[[str], Secret | None]
"""Takes a secret's whole name: a tenant's is `TENANT.NAME`."""


def find_tenant_key(settings: Settings, repository: str, name: str, find_key: FindKey | None = None) -> Secret | None:
    """Return the secret of this name that work in a repository is done with; None where its tenant has none.

    Args:
        settings: The settings.
        repository: `owner/name`.
        name: Of the secret, as the provider's table has it.
        find_key: Finds a secret by its whole name; by default wherever secrets lie.

    Raises:
        ConfigError: As in `find_secret`.
    """
    sources = settings.secret_sources_for(repository)
    if find_key is None:
        return find_secret(name, sources)
    return next((key for known in sources.names_of(name) if (key := find_key(known)) is not None), None)
