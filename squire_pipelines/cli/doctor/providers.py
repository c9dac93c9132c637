"""The checks of `squire doctor` that ask the models' providers: whether each takes its key and knows its model."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx

from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.doctor.clouds import ask_cloud
from squire_pipelines.domain.provider_faults import error_code
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.gateway.rules import request_headers
from squire_pipelines.secrets.lookup import find_secret, key_step
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.provider_uses import ProviderUse, provider_uses
from squire_pipelines.settings.providers import ModelProvider

_TIMEOUT_S = 10.0
_MAX_BODY = 2 * 2**20
_MAX_USES = 20
_NOT_FOUND = frozenset({404, 405})
_OK, _FIRST_ERROR = 200, 300


def ask_providers(settings: Settings) -> Iterator[Diagnosis]:
    """Ask about each model that is called. Raises ConfigError for a key that cannot be read."""
    uses = provider_uses(settings)
    timeout = httpx.Timeout(_TIMEOUT_S)
    with httpx.Client(timeout=timeout, follow_redirects=False) as client:
        for use in uses[:_MAX_USES]:
            yield _judge(client, settings, use)
    if (left := len(uses) - _MAX_USES) > 0:
        yield Diagnosis("models", "ok", f"{left} more models were not asked about")


def _judge(client: httpx.Client, settings: Settings, use: ProviderUse) -> Diagnosis:
    provider, name = use.provider, f"{use.user}'s model"
    if provider.cloud is not None:
        model = provider.aliases.get(use.model, use.model)
        return _or_unreachable(provider, name, partial(ask_cloud, client, name, provider, provider.cloud, model))
    key = find_secret(provider.secret, settings.secret_sources)
    provider = replace(provider, key_step=key_step(key))
    use = replace(use, provider=provider)
    text = key.reveal() if key is not None else None
    if (fault := provider.key_fault(text)) is not None:
        return Diagnosis(name, "fail", fault.message, fault.hint)
    if provider.base_url is None:
        return Diagnosis(name, "ok", f"{use.model}: not asked, since no address is set")
    return _or_unreachable(provider, name, partial(_ask, client, name, use, text))


def _or_unreachable(provider: ModelProvider, name: str, ask: Callable[[], Diagnosis]) -> Diagnosis:
    try:
        return ask()
    except httpx.HTTPError as error:
        message = f"the provider {provider.name} does not answer at {provider.base_url}: {type(error).__name__}"
        return Diagnosis(name, "fail", message, "check its `base_url`, and whether this machine reaches it")


def _ask(client: httpx.Client, name: str, use: ProviderUse, key: str | None) -> Diagnosis:
    provider, model = use.provider, use.provider.aliases.get(use.model, use.model)
    status, body = _get(client, provider, f"/models/{quote(model, safe='')}", key)
    if status in _NOT_FOUND:  # not every server has a page for each model
        page_body = body
        status, body = _get(client, provider, "/models", key)
        if status == _OK and model not in _names(body):
            status, body = 404, page_body if error_code(page_body) else b'{"error": {"code": "model_not_found"}}'
        elif status in _NOT_FOUND:
            return Diagnosis(
                name, "warn", f"the provider {provider.name} names no models: {model} was not checked", _next(provider)
            )
    if (fault := provider.words.fault_of(status, body, model=model)) is not None:
        return Diagnosis(name, "fail", fault.message, fault.hint)
    if status >= _FIRST_ERROR:
        return Diagnosis(name, "warn", f"the provider {provider.name} answers {status}", "try again later")
    return Diagnosis(name, "ok", f"{model} at the provider {provider.name}, {provider.base_url}")


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
