"""The probe of the models' providers: whether each takes its key. What costs money, as on clouds, is not asked."""

import httpx

from squire_pipelines.domain.conditions import ConditionState
from squire_pipelines.domain.service_rules import ModelFacts, models_state
from squire_pipelines.errors import ConfigError
from squire_pipelines.health.probe import Probe, States
from squire_pipelines.health.provider_answers import ask_provider
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.provider_uses import ProviderUse, provider_uses
from squire_pipelines.trusted_certificates import tls_context

_EVERY_S = 120.0
_TIMEOUT_S = 25.0
_ANSWER_TIMEOUT_S = 5.0
_MAX_USES = 10


def model_probe(settings: Settings) -> Probe:
    """Return the probe of the models that the settings have called."""
    return Probe("models", ("models",), _EVERY_S, _TIMEOUT_S, lambda: look_at_models(settings))


def look_at_models(settings: Settings) -> States:
    """Ask the providers, the first ten uses."""
    uses = [use for use in provider_uses(settings) if use.provider.cloud is None][:_MAX_USES]
    with httpx.Client(verify=tls_context(), timeout=_ANSWER_TIMEOUT_S, follow_redirects=False) as client:
        facts = [_ask(client, settings, use) for use in uses]
    return {"models": models_state(facts)}


def _ask(client: httpx.Client, settings: Settings, use: ProviderUse) -> ModelFacts:
    try:
        state = ask_provider(client, settings, use)
    except ConfigError as error:
        state = ConditionState.degraded(error.message, error.hint)  # other processes may have the key
    return ModelFacts(use.user, use.provider.name, state)
