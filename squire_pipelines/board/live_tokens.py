"""The tokens that people give to log in, followed while the board serves: a tenant's new one needs no restart."""

from collections.abc import Mapping

from squire_pipelines.board.tenant_logins import login_tokens
from squire_pipelines.errors import SquireError
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.reloading.file_state import mark_of
from squire_pipelines.reloading.in_force import InForce, SettingsInForce
from squire_pipelines.secret_names import BOARD_TOKEN, tenant_secret
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.sources import files_of

_log = get_logger(Component.BOARD)


class LiveTokens:
    """The tokens that hold now; asked for at each login and each page, from any thread.

    Args:
        in_force: The board's settings.

    Raises:
        SecretMissingError: The settings want a token, and there is none.
        ConfigError: One could be guessed, or is two logins'.
    """

    def __init__(self, in_force: SettingsInForce) -> None:
        self._login = in_force.at_start.board.login  # which a restart alone changes
        self._secret_state = self._state_of_secrets(in_force.state)
        self._tokens = login_tokens(in_force.settings)
        self.problem = ""
        """Why those that were read last hold; empty where all could be read."""

    def tokens(self) -> Mapping[str | None, Secret]:
        """Return the tokens by tenant; None is the operators'."""
        return self._tokens

    def follow(self, state: InForce) -> bool:
        """Read the tokens again where one may have changed, and return whether they were read.

        Where one cannot be read any more that is said; those that were read last hold, so that nobody is locked out.
        """
        secret_state = self._state_of_secrets(state)
        if self._login != "token" or secret_state == self._secret_state or state.settings.board.login != "token":
            return False
        self._secret_state = secret_state
        try:
            self._tokens = login_tokens(state.settings)
        except SquireError as error:
            _log.error("the tokens of the board cannot be read, the old ones hold", reason=error.message)
            self.problem = f"the old tokens hold: {error.message}"
            return False
        self.problem = ""
        return True

    @staticmethod
    def _state_of_secrets(state: InForce) -> tuple[object, ...]:
        """Return what changes when a token may have: files, tenants, where they are looked for, or a request."""
        settings = state.settings
        sources, tenants = settings.house_sources, tuple(settings.tenants)
        names = (BOARD_TOKEN, *(tenant_secret(tenant, BOARD_TOKEN) for tenant in tenants))
        files = dict.fromkeys(path for name in names for path in files_of(name, sources))
        return (tuple(map(mark_of, files)), tenants, settings.secrets, state.asked, state.hang_ups)
