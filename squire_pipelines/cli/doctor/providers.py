"""The checks of `squire doctor` that ask the models' providers: whether each takes its key and knows its model."""

from collections.abc import Iterator

import httpx

from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.health.provider_answers import ask_provider
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.provider_uses import provider_uses
from squire_pipelines.trusted_certificates import tls_context

_TIMEOUT_S = 10.0
_MAX_USES = 20


def ask_providers(settings: Settings) -> Iterator[Diagnosis]:
    """Ask about each model that is called. Raises ConfigError for a key that cannot be read."""
    uses = provider_uses(settings)
    with httpx.Client(verify=tls_context(), timeout=_TIMEOUT_S, follow_redirects=False) as client:
        for use in uses[:_MAX_USES]:
            yield Diagnosis.of_state(f"{use.user}'s model", ask_provider(client, settings, use))
    if (left := len(uses) - _MAX_USES) > 0:
        yield Diagnosis("models", "ok", f"{left} more models were not asked about")
