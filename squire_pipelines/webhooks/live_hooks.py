"""The other senders that the receiver takes deliveries of: how each signs, and its secrets, as the settings are now."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from squire_pipelines.domain.hook_schemes import HookScheme, StandardScheme
from squire_pipelines.domain.standard_webhooks import decode_key
from squire_pipelines.errors import ConfigError, SecretMissingError, SquireError
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.reloading.file_state import mark_of
from squire_pipelines.reloading.in_force import InForce
from squire_pipelines.secrets.lookup import require_secret
from squire_pipelines.secrets.sources import SecretSources, files_of
from squire_pipelines.sections.hooks import HookSettings
from squire_pipelines.settings.model import Settings
from squire_pipelines.sources.hook_readers import scheme_of_reader

_log = get_logger(Component.WEBHOOKS)


@dataclass(frozen=True, slots=True)
class LiveHook:
    """A sender that is switched on.

    Args:
        scheme: How it signs.
        secrets: Of which any signs; none where one cannot be read, and nothing of it can be verified.
        max_body: Bytes of a delivery.
    """

    scheme: HookScheme
    secrets: tuple[str, ...]
    max_body: int


class LiveHooks:
    """Follows the senders of the settings; what holds now is asked for at each request.

    Args:
        state: The settings at the start.

    Raises:
        SecretMissingError: A secret of a sender is not there.
        ConfigError: A sender's reader cannot be used, or a secret cannot be its key.
    """

    def __init__(self, state: InForce) -> None:
        self._problems: dict[str, str] = {}
        self._marks = _marks(state)
        self._hooks: Mapping[str, LiveHook] = MappingProxyType(
            {name: read_hook(state.settings, name) for name in enabled_hooks(state.settings)}
        )

    def hooks(self) -> Mapping[str, LiveHook]:
        """Return the senders by name."""
        return self._hooks

    @property
    def problem(self) -> str:
        """What is wrong with senders, in a sentence; empty where nothing is."""
        return "; ".join(self._problems.values())

    def follow(self, state: InForce) -> bool:
        """Take what has changed; return whether secrets were read. What cannot be used any more stays as it was.

        One that is new and cannot be used has no secrets, so that it may deliver again later.
        """
        marks = _marks(state)
        if marks == self._marks:
            return False
        known, self._problems, self._marks = self._hooks, {}, marks
        hooks: dict[str, LiveHook] = {}
        for name in enabled_hooks(state.settings):
            try:
                hooks[name] = read_hook(state.settings, name)
            except SquireError as error:
                self._problems[name] = f"the sender {name} cannot be used as the settings say: {error.message}"
                _log.error("a sender cannot be used as the settings say", sender=name, reason=error.message)
                unusable = LiveHook(StandardScheme(), (), state.settings.hooks[name].max_body)
                hooks[name] = known.get(name, unusable)
        self._hooks = MappingProxyType(hooks)
        return bool(hooks)


def enabled_hooks(settings: Settings) -> tuple[str, ...]:
    """Return the names of the senders that are switched on."""
    return tuple(name for name, hook in settings.hooks.items() if hook.enabled)


def read_hook(settings: Settings, name: str) -> LiveHook:
    """Return a sender as the settings have it, with its secrets.

    Raises:
        SecretMissingError: One of them is not there.
        ConfigError: The sender's reader cannot be used, or a secret cannot be its key.
    """
    section = settings.hooks[name]
    scheme = scheme_of(section, name)
    secrets = tuple(_secret(name, secret, scheme, settings.secret_sources) for secret in section.secret_names(name))
    return LiveHook(scheme, secrets, section.max_body)


def scheme_of(section: HookSettings, name: str) -> HookScheme:
    """Return how a sender signs. Raises ConfigError where its reader cannot be used, or the settings do not fit it."""
    try:
        return section.scheme_over(scheme_of_reader(section.reader_of(name)))
    except (SquireError, ValueError) as error:
        reason = error.message if isinstance(error, SquireError) else str(error)
        raise ConfigError(f"[hooks.{name}]: {reason}", hint="docs/reference/hooks.md has the schemes") from error


def _secret(hook: str, name: str, scheme: HookScheme, sources: SecretSources) -> str:
    try:
        value = require_secret(name, sources).reveal()
    except SecretMissingError as error:
        message = f"the sender {hook} needs the secret {name}, which is missing"
        raise SecretMissingError(message, hint=error.hint, context=error.context) from error
    if isinstance(scheme, StandardScheme):
        try:
            decode_key(value)
        except ValueError as error:
            hint = f"`squire secrets set {name}` with the whole key, as the sender has it"
            raise ConfigError(f"the secret {name} of the sender {hook} cannot be a key: {error}", hint=hint) from None
    return value


def _marks(state: InForce) -> tuple[object, ...]:
    """Return what changes when a sender or a secret of one may have."""
    settings = state.settings
    names = [secret for name in enabled_hooks(settings) for secret in settings.hooks[name].secret_names(name)]
    files = dict.fromkeys(path for name in names for path in files_of(name, settings.secret_sources))
    return (settings.hooks, tuple(map(mark_of, files)), settings.secrets, state.asked, state.hang_ups)
