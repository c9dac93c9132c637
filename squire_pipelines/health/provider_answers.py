"""What a model's provider is asked: whether it takes its key and knows the model. Its list of models is free."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx

from squire_pipelines.domain.conditions import ConditionState
from squire_pipelines.domain.provider_faults import error_code
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.gateway.rules import request_headers
from squire_pipelines.health.cloud_answers import ask_cloud
from squire_pipelines.secrets.lookup import find_secret, key_step
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.provider_uses import ProviderUse
from squire_pipelines.settings.providers import ModelProvider

_MAX_BODY = 2 * 2**20
_NOT_FOUND = frozenset({404, 405})
_OK, _FIRST_ERROR = 200, 300


def ask_provider(client: httpx.Client, settings: Settings, use: ProviderUse) -> ConditionState:
    """Ask about one model that is called.

    Args:
        client: Asks, with a time limit.
        settings: Say where secrets are.
        use: Names the model and its provider.

    Raises:
        ConfigError: A key cannot be read.
    """
    provider = use.provider
    if provider.cloud is not None:
        model = provider.aliases.get(use.model, use.model)
        return _or_unreachable(provider, partial(ask_cloud, client, provider, provider.cloud, model))
    key = find_secret(provider.secret, settings.secret_sources_of(use.tenant))
    provider = replace(provider, key_step=key_step(key))
    use = replace(use, provider=provider)
    text = key.reveal() if key is not None else None
    if (fault := provider.key_fault(text)) is not None:
        return ConditionState.down(fault.message, fault.hint)
    if provider.base_url is None:
        return ConditionState.ok(f"{use.model}: not asked, since no address is set")
    return _or_unreachable(provider, partial(_ask, client, use, text))


def _or_unreachable(provider: ModelProvider, ask: Callable[[], ConditionState]) -> ConditionState:
    try:
        return ask()
    except httpx.HTTPError as error:
        message = f"the provider {provider.name} does not answer at {provider.base_url}: {type(error).__name__}"
        return ConditionState.down(
            message, "check its `base_url`, and whether this machine reaches it", is_doubtful=True
        )


def _ask(client: httpx.Client, use: ProviderUse, key: str | None) -> ConditionState:
    provider, model = use.provider, use.provider.aliases.get(use.model, use.model)
    status, body = _get(client, provider, f"/models/{quote(model, safe='')}", key)
    if status in _NOT_FOUND:  # not every server has a page for each model
        page_body = body
        status, body = _get(client, provider, "/models", key)
        if status == _OK and model not in _names(body):
            status, body = 404, page_body if error_code(page_body) else b'{"error": {"code": "model_not_found"}}'
        elif status in _NOT_FOUND:
            reason = f"the provider {provider.name} names no models: {model} was not checked"
            return ConditionState.degraded(reason, _next(provider))
    if (fault := provider.words.fault_of(status, body, model=model)) is not None:
        return ConditionState.down(fault.message, fault.hint)
    if status >= _FIRST_ERROR:
        return ConditionState.degraded(f"the provider {provider.name} answers {status}", "try again later")
    return ConditionState.ok(f"{model} at the provider {provider.name}, {provider.base_url}")


def _next(provider: ModelProvider) -> str:
    return f"look whether {provider.base_url} is its address with the version, if its calls fail"


def _get(client: httpx.Client, provider: ModelProvider, path: str, key: str | None) -> tuple[int, bytes]:
    headers = request_headers([], key, provider.known_protocol or Protocol.OPENAI)
    url = (provider.base_url or "").rstrip("/") + path
    body = bytearray()
    with client.stream("GET", url, headers=headers) as response:
        for chunk in response.iter_bytes():
            body += chunk[: _MAX_BODY - len(body)]
            if len(body) >= _MAX_BODY:
                break
        return response.status_code, bytes(body)


def _names(body: bytes) -> set[str]:
    """Return the models of a list: OpenAI's and Anthropic's `data`, Gemini's `models`."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return set()
    entries = (document.get("data") or document.get("models") or ()) if isinstance(document, dict) else ()
    named = (entry.get("id") or entry.get("name") for entry in entries if isinstance(entry, dict))
    return {str(name).removeprefix("models/") for name in named if name}
