"""What the receiver takes while it runs: the repositories, the webhook's secret, the level of its logs.

The settings themselves are followed by `reloading`; sockets and signals are `serve`'s.
"""

from collections.abc import Callable, Collection

from squire_pipelines.errors import SquireError
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.reloading.file_state import FileMark, mark_of
from squire_pipelines.reloading.in_force import InForce, SettingsInForce
from squire_pipelines.reloading.process_status import StatusFile, status_of
from squire_pipelines.secret_names import SecretName
from squire_pipelines.secrets.lookup import require_secret
from squire_pipelines.secrets.sources import SecretSources, files_of
from squire_pipelines.settings.restarts import Part

_log = get_logger(Component.WEBHOOKS)


class LiveReceiver:
    """The repositories and the secret that hold now; both are asked for at each delivery, from any thread.

    Args:
        in_force: The receiver's settings.
        status: Where it says which version it has.

    Raises:
        SecretMissingError: There is no webhook secret.
        ConfigError: It cannot be read.
    """

    def __init__(self, in_force: SettingsInForce, status: StatusFile) -> None:
        self._in_force = in_force
        self._status = status
        self._problem = ""
        self._secret_state = self._state_of_secret(in_force.state)
        self._secret = _read_secret(in_force.settings.secret_sources)
        self.on_secret_read: Callable[[], object] = lambda: None
        """Called after the secret was read again; the audit trail has a row for it."""
        status.write(status_of(in_force, Part.RECEIVER))

    def secret(self) -> bytes:
        """Return the webhook's secret."""
        return self._secret

    def repositories(self) -> Collection[str]:
        """Return the names whose deliveries ask for something."""
        return self._in_force.settings.repositories

    def follow(self, state: InForce) -> None:
        """Read the secret again where that may have changed, and say which version of the settings holds.

        A secret that cannot be read any more is told; the one that was read last holds, so that no delivery is refused.
        """
        secret_state = self._state_of_secret(state)
        if secret_state != self._secret_state:
            try:
                self._secret = _read_secret(state.settings.secret_sources)
            except SquireError as error:
                _log.error("the webhook secret cannot be read, the old one holds", reason=error.message)
                self._problem = f"the old webhook secret holds: {error.message}"
            else:
                self._problem = ""
                self.on_secret_read()
            self._secret_state = secret_state
        self._status.write(status_of(self._in_force, Part.RECEIVER, problem=self._problem))

    def _state_of_secret(self, state: InForce) -> tuple[object, ...]:
        """Return what changes when the secret may have: its files, where it is looked for, or somebody's asking."""
        sources = state.settings.secret_sources
        marks: tuple[FileMark | None, ...] = tuple(map(mark_of, files_of(SecretName.WEBHOOK_SECRET, sources)))
        return (marks, state.settings.secrets, state.asked, state.hang_ups)


def _read_secret(sources: SecretSources) -> bytes:
    return require_secret(SecretName.WEBHOOK_SECRET, sources).reveal().encode()
