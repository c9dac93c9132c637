"""What the receiver takes while it runs: repositories, senders, secrets, rules, its bounds, the level of its logs.

The settings themselves are followed by `reloading`; sockets and signals are `serve`'s.
"""

from collections.abc import Callable, Collection, Mapping

from squire_pipelines.errors import SquireError
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.observability.server_presence import ServerFacts
from squire_pipelines.reloading.file_state import FileMark, mark_of
from squire_pipelines.reloading.in_force import InForce, SettingsInForce
from squire_pipelines.reloading.process_status import StatusFile, status_of
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.secrets.sources import files_of
from squire_pipelines.settings.restarts import Part
from squire_pipelines.webhooks.filtering import PresentJudge
from squire_pipelines.webhooks.live_hooks import LiveHook, LiveHooks
from squire_pipelines.webhooks.signing_secrets import SigningSecrets, names_of_signing_secrets, read_signing_secrets

_log = get_logger(Component.WEBHOOKS)


class LiveReceiver:
    """What holds now; all of it is asked for at each delivery, from any thread.

    Args:
        in_force: The receiver's settings.
        status: Where it says which version it has.
        verifies_nothing: Whether every delivery counts as signed, and no secret is read.

    Raises:
        SecretMissingError: There is no webhook secret, or one that the settings name is not there.
        ConfigError: One cannot be read.
    """

    def __init__(self, in_force: SettingsInForce, status: StatusFile, *, verifies_nothing: bool = False) -> None:
        self._in_force = in_force
        self._status = status
        self._problem = ""
        self._verifies_nothing = verifies_nothing
        self._secret_state = self._state_of_secrets(in_force.state)
        self._by_name: Mapping[str, bytes] = {}
        self._secrets = self._read_secrets(in_force.state)
        self._hooks = LiveHooks(in_force.state)
        self.on_secret_read: Callable[[], object] = lambda: None
        """Called after the secrets were read again; the audit trail has a row for it."""
        self.judge = PresentJudge(lambda: in_force.settings)
        """Gives the judge of deliveries by the settings that hold."""
        status.write(status_of(in_force, Part.RECEIVER))

    def secrets(self) -> SigningSecrets:
        """Return the secrets that deliveries are signed with."""
        return self._secrets

    def facts(self) -> ServerFacts:
        """Return what this receiver says of itself to other machines: what is wrong, and which secrets it has."""
        return ServerFacts(problem=self._all_problems, secrets=self._by_name)

    def hooks(self) -> Mapping[str, LiveHook]:
        """Return the senders beside GitHub, by name."""
        return self._hooks.hooks()

    def repositories(self) -> Collection[str]:
        """Return the names whose deliveries ask for something."""
        return self._in_force.settings.repositories

    def most_waiting_bytes(self) -> int:
        """Return how much may wait in the ledger to be read."""
        return self._in_force.settings.webhooks.max_inbox

    def refusals_per_minute(self) -> int:
        """Return how many requests of one address may be refused before it gets 429."""
        return self._in_force.settings.webhooks.refusals_per_address

    def follow(self, state: InForce) -> None:
        """Read the secrets again where one may have changed, and say which version of the settings holds.

        Where one cannot be read any more that is told; those that were read last hold, so that no delivery is refused.
        """
        secret_state = self._state_of_secrets(state)
        were_read = self._hooks.follow(state)
        if secret_state != self._secret_state:
            try:
                self._secrets = self._read_secrets(state)
            except SquireError as error:
                _log.error("the webhook secret cannot be read, the old one holds", reason=error.message)
                self._problem = f"the old webhook secret holds: {error.message}"
            else:
                self._problem, were_read = "", True
            self._secret_state = secret_state
        if were_read:
            self.on_secret_read()
        self._status.write(status_of(self._in_force, Part.RECEIVER, problem=self._all_problems))

    @property
    def _all_problems(self) -> str:
        return "; ".join(filter(None, (self._problem, self._hooks.problem)))

    def _read_secrets(self, state: InForce) -> SigningSecrets:
        if self._verifies_nothing:
            return SigningSecrets(verifies_nothing=True)
        settings, tenants = state.settings, state.settings.recorded_tenants
        secrets = read_signing_secrets(settings.webhooks, settings.secret_sources, tenants)
        names = names_of_signing_secrets(settings.webhooks, tenants)
        read = {name: find_secret(name, settings.secret_sources) for name in names}
        self._by_name = {str(name): one.reveal().encode() for name, one in read.items() if one is not None}
        return secrets

    def _state_of_secrets(self, state: InForce) -> tuple[object, ...]:
        """Return what changes when a secret may have: files, names, where they are looked for, or somebody's asking."""
        sources, webhooks, tenants = (
            state.settings.secret_sources,
            state.settings.webhooks,
            state.settings.recorded_tenants,
        )
        names = names_of_signing_secrets(webhooks, tenants)
        files = dict.fromkeys(path for name in names for path in files_of(name, sources))
        marks: tuple[FileMark | None, ...] = tuple(map(mark_of, files))
        return (marks, webhooks.secrets, tenants, state.settings.secrets, state.asked, state.hang_ups)
