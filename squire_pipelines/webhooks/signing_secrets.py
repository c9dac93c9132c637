"""The secrets that deliveries are signed with, and which of them signed a body.

There are those of all repositories, two while one is rotated, and those of single repositories.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from squire_pipelines.domain.tenants import DEFAULT_TENANT
from squire_pipelines.errors import SecretMissingError
from squire_pipelines.github.protocol import verify_signature
from squire_pipelines.secret_names import SecretName, tenant_secret
from squire_pipelines.secrets.lookup import find_secret, require_secret
from squire_pipelines.secrets.sources import SecretSources

if TYPE_CHECKING:
    from squire_pipelines.sections.webhooks import WebhookSettings


NO_TENANTS: Mapping[str, str] = MappingProxyType({})
_SHARED = (SecretName.WEBHOOK_SECRET.value, SecretName.WEBHOOK_SECRET_OLD.value)


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose secret signed a body.

    Args:
        repositories: In lower case, those that the secret is of; None for one of all.
        but_not: In lower case, those of tenants with a secret of their own, for which one of all does not count.
    """

    repositories: frozenset[str] | None = None
    but_not: frozenset[str] = frozenset()

    def may_tell_of(self, repository: str | None) -> bool:
        """Return whether a delivery about this repository may be signed with the secret."""
        name = None if repository is None else repository.casefold()
        return name not in self.but_not if self.repositories is None else name in self.repositories


@dataclass(frozen=True, slots=True)
class SigningSecrets:
    """Secrets that deliveries are verified with.

    Args:
        shared: Of all repositories.
        by_repository: Of single repositories, by their names; each verifies deliveries about its repository alone.
        verifies_nothing: Whether every delivery counts as signed: for a try on one's own machine.
        of_tenants: Those of `by_repository` whose tenant has a secret of its own: for them those of all do not count.
    """

    shared: tuple[bytes, ...] = ()
    by_repository: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    verifies_nothing: bool = False
    of_tenants: frozenset[str] = frozenset()
    _signers: tuple[tuple[bytes, Signer], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Sort the secrets by whose they are: one that several repositories share is tried once."""
        owners: dict[bytes, set[str]] = {}
        for repository, secrets in self.by_repository.items():
            for secret in secrets:
                owners.setdefault(secret, set()).add(repository.casefold())
        of_repositories = ((secret, Signer(frozenset(names))) for secret, names in owners.items() if secret)
        but_not = frozenset(name.casefold() for name in self.of_tenants)
        shared = ((secret, Signer(but_not=but_not)) for secret in dict.fromkeys(self.shared) if secret)
        object.__setattr__(self, "_signers", (*shared, *of_repositories))

    @property
    def can_verify(self) -> bool:
        """Whether any delivery can count as signed."""
        return bool(self._signers) or self.verifies_nothing

    @property
    def all(self) -> tuple[bytes, ...]:
        """Each secret once."""
        return tuple(secret for secret, _ in self._signers)

    def signer_of(self, body: bytes, signature: str | None) -> Signer | None:
        """Return whose secret signed a raw body; None for nobody's.

        Every secret is tried, so that the time does not tell which one it was.
        """
        if self.verifies_nothing:
            return Signer()
        signers = [signer for secret, signer in self._signers if verify_signature(body, signature, secret)]
        return signers[0] if signers else None


def read_signing_secrets(
    webhooks: "WebhookSettings", sources: SecretSources, tenants: Mapping[str, str] = NO_TENANTS
) -> SigningSecrets:
    """Return the secrets that the settings name and that are there.

    `webhook-secret-old` counts beside `webhook-secret`, so that no delivery is refused while GitHub gets the new one.
    A tenant with a webhook-secret of its own has its deliveries signed with that one, and with no other.

    Args:
        webhooks: Name the secrets of single repositories.
        sources: Where the house's secrets are.
        tenants: Whose each repository is, `Settings.recorded_tenants`.

    Raises:
        SecretMissingError: There is none at all, or one that the settings name is not there.
        ConfigError: One cannot be read.
    """
    by_repository = {
        repository: tuple(require_secret(name, sources).reveal().encode() for name in names)
        for repository, names in webhooks.secrets.items()
    }
    of_tenants = _of_tenants(tenants, sources)
    for repository, secrets in of_tenants.items():
        by_repository[repository] = (*by_repository.get(repository, ()), *secrets)
    current = find_secret(SecretName.WEBHOOK_SECRET, sources)
    old = find_secret(SecretName.WEBHOOK_SECRET_OLD, sources)
    shared = tuple(secret.reveal().encode() for secret in (current, old) if secret is not None)
    if current is None and not by_repository:
        require_secret(SecretName.WEBHOOK_SECRET, sources)  # whose error says how it is set
        raise SecretMissingError("the secret webhook-secret is missing")  # it came this moment: the next look has it
    return SigningSecrets(shared, by_repository, of_tenants=frozenset(of_tenants))


def _of_tenants(tenants: Mapping[str, str], sources: SecretSources) -> dict[str, tuple[bytes, ...]]:
    """Return the secrets of the repositories whose tenant has one of its own, two while it is rotated."""
    own: dict[str, tuple[bytes, ...]] = {}
    for tenant in {*tenants.values()} - {DEFAULT_TENANT}:
        secrets = (find_secret(tenant_secret(tenant, name), sources) for name in _SHARED)
        own[tenant] = tuple(secret.reveal().encode() for secret in secrets if secret is not None)
    return {repository: own[tenant] for repository, tenant in tenants.items() if own.get(tenant)}


def names_of_signing_secrets(webhooks: "WebhookSettings", tenants: Mapping[str, str] = NO_TENANTS) -> tuple[str, ...]:
    """Return the names of all secrets that deliveries may be signed with."""
    others = sorted({*tenants.values()} - {DEFAULT_TENANT})
    of_tenants = (tenant_secret(tenant, name) for tenant in others for name in _SHARED)
    return (*_SHARED, *webhooks.secret_names, *of_tenants)
