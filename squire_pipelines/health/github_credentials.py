"""GitHub as checks and probes ask it: with the credentials that this process can have, where there are any."""

from squire_pipelines.errors import PassphraseError
from squire_pipelines.github.access import Access
from squire_pipelines.github.tenant_access import access_to_all
from squire_pipelines.settings.model import Settings


def known_access(settings: Settings) -> Access | None:
    """Return what proves to GitHub who asks; None without credentials, and while what keeps them is locked.

    The checks of the secrets tell of both. Raises ConfigError for credentials that cannot be used.
    """
    try:
        access = access_to_all(settings)
    except PassphraseError:
        return None
    return None if access.is_anonymous else access
