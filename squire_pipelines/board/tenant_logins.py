"""Who logs in for which tenant: by a token of the tenant's own, or by the name that a proxy gives."""

import hmac
from collections.abc import Callable, Mapping

from squire_pipelines.board.sessions import BoardSession
from squire_pipelines.errors import ConfigError
from squire_pipelines.secret_names import BOARD_TOKEN, tenant_secret
from squire_pipelines.secrets.lookup import find_secret, require_secret
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.settings.model import Settings

MIN_TOKEN_CHARS = 16
"""A shorter token could be guessed."""


class NoTenantError(Exception):
    """A person whom the settings name neither as an operator nor as one of a tenant's people."""


class BoardLogins:
    """Says whose work a person sees: an operator's all of it, a tenant's people theirs alone.

    Args:
        tokens: Gives what people give to log in, by tenant; None is the operators'. Empty where they log in by other
            means.
        settings: Gives the settings.
    """

    def __init__(self, tokens: Callable[[], Mapping[str | None, Secret]], settings: Callable[[], Settings]) -> None:
        self._tokens = tokens
        self._settings = settings

    @property
    def by_token(self) -> bool:
        """Whether people log in with a token."""
        return bool(self._tokens())

    def find_token(self, token: str) -> tuple[bool, str | None]:
        """Return whether a token is one, and whose: None for the operators'.

        Every token is compared, so that the time does not tell which one was near.
        """
        owners = [
            tenant
            for tenant, secret in self._tokens().items()
            if hmac.compare_digest(token.encode(), secret.reveal().encode())
        ]
        return bool(owners), owners[0] if owners else None

    def tenant_of_person(self, person: str) -> str | None:
        """Return whose work a person sees whom a proxy names, or who uses the board alone; None for all.

        Raises:
            NoTenantError: There are tenants, and the settings do not name the person.
        """
        settings = self._settings()
        if settings.board.login != "proxy" or not settings.tenants or person in settings.board.operators:
            return None
        for name, table in settings.tenants.items():
            if person in table.people:
                return name
        raise NoTenantError

    def is_still(self, session: BoardSession) -> bool:
        """Return whether a session is still what it began as: for a tenant or for all, with a token that is one still.

        A board that has not read a new token yet takes none that began with it.
        """
        settings, tenant = self._settings(), session.tenant
        if settings.board.login == "proxy":
            try:
                return self.tenant_of_person(session.person) == tenant
            except NoTenantError:
                return False
        if settings.board.login == "none":
            return tenant is None
        token = self._tokens().get(tenant)
        is_known = tenant is None or tenant in settings.tenants
        return is_known and token is not None and session.is_of_login(token.reveal())


def login_tokens(settings: Settings) -> dict[str | None, Secret]:
    """Return the tokens that people give to log in; none where they log in by other means.

    Each tenant that has the secret board-token of its own has a login. The operators' is the house's.

    Raises:
        SecretMissingError: The settings want a token, and the house has none.
        ConfigError: One is so short that it could be guessed, or two are the same.
    """
    if settings.board.login != "token":
        return {}
    tokens: dict[str | None, Secret] = {None: require_secret(BOARD_TOKEN, settings.house_sources)}
    for tenant in settings.tenants:
        if (own := find_secret(tenant_secret(tenant, BOARD_TOKEN), settings.house_sources)) is not None:
            tokens[tenant] = own
    for owner, token in tokens.items():
        name = BOARD_TOKEN if owner is None else tenant_secret(owner, BOARD_TOKEN)
        hint = f"`squire secrets set {name}` with another one, for example of `openssl rand -hex 32`"
        if len(token.reveal()) < MIN_TOKEN_CHARS:
            raise ConfigError(
                f"the secret {name} has fewer than {MIN_TOKEN_CHARS} characters and could be guessed", hint=hint
            )
        if [other.reveal() for other in tokens.values()].count(token.reveal()) > 1:
            raise ConfigError(f"the secret {name} is another login's too: nobody could say whose it is", hint=hint)
    return tokens
