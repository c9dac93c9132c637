"""The secrets that deliveries are signed with, and which of them signed a body.

There are those of all repositories, two while one is rotated, and those of single repositories.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from squire_pipelines.errors import SecretMissingError
from squire_pipelines.github.protocol import verify_signature
from squire_pipelines.secret_names import SecretName
from squire_pipelines.secrets.lookup import find_secret, require_secret
from squire_pipelines.secrets.sources import SecretSources

if TYPE_CHECKING:
    from squire_pipelines.sections.webhooks import WebhookSettings


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose secret signed a body.

    Args:
        repositories: In lower case, those that the secret is of; None for one of all.
    """

    repositories: frozenset[str] | None = None

    def may_tell_of(self, repository: str | None) -> bool:
        """Return whether a delivery about this repository may be signed with the secret."""
        return self.repositories is None or (repository is not None and repository.casefold() in self.repositories)


@dataclass(frozen=True, slots=True)
class SigningSecrets:
    """Secrets that deliveries are verified with.

    Args:
        shared: Of all repositories.
        by_repository: Of single repositories, by their names; each verifies deliveries about its repository alone.
        verifies_nothing: Whether every delivery counts as signed: for a try on one's own machine.
    """

    shared: tuple[bytes, ...] = ()
    by_repository: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    verifies_nothing: bool = False
    _signers: tuple[tuple[bytes, Signer], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Sort the secrets by whose they are: one that several repositories share is tried once."""
        owners: dict[bytes, set[str]] = {}
        for repository, secrets in self.by_repository.items():
            for secret in secrets:
                owners.setdefault(secret, set()).add(repository.casefold())
        of_repositories = ((secret, Signer(frozenset(names))) for secret, names in owners.items() if secret)
        shared = ((secret, Signer()) for secret in dict.fromkeys(self.shared) if secret)
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


def read_signing_secrets(webhooks: "WebhookSettings", sources: SecretSources) -> SigningSecrets:
    """Return the secrets that the settings name and that are there.

    `webhook-secret-old` counts beside `webhook-secret`, so that no delivery is refused while GitHub gets the new one.

    Raises:
        SecretMissingError: There is none at all, or one that the settings name is not there.
        ConfigError: One cannot be read.
    """
    by_repository = {
        repository: tuple(require_secret(name, sources).reveal().encode() for name in names)
        for repository, names in webhooks.secrets.items()
    }
    current = find_secret(SecretName.WEBHOOK_SECRET, sources)
    old = find_secret(SecretName.WEBHOOK_SECRET_OLD, sources)
    shared = tuple(secret.reveal().encode() for secret in (current, old) if secret is not None)
    if current is None and not by_repository:
        require_secret(SecretName.WEBHOOK_SECRET, sources)  # whose error says how it is set
        raise SecretMissingError("the secret webhook-secret is missing")  # it came this moment: the next look has it
    return SigningSecrets(shared, by_repository)


def names_of_signing_secrets(webhooks: "WebhookSettings") -> tuple[str, ...]:
    """Return the names of all secrets that deliveries may be signed with."""
    return (SecretName.WEBHOOK_SECRET.value, SecretName.WEBHOOK_SECRET_OLD.value, *webhooks.secret_names)
