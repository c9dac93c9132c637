"""What a model on a cloud's platform is asked: the cheapest request that its credentials and name pass.

A Claude model is asked for one token, which costs less than a hundredth of a cent: the platforms name no models to
everybody who may ask them, and count tokens in some regions alone. Gemini's tokens are counted, which is free.
"""

from typing import Any

import httpx

from squire_pipelines.domain.conditions import ConditionState
from squire_pipelines.errors import ConfigError, NotReachableError
from squire_pipelines.gateway.clouds.answers import error_body
from squire_pipelines.gateway.clouds.cloud import Cloud
from squire_pipelines.gateway.clouds.credentials import CredentialSource
from squire_pipelines.gateway.clouds.requests import adapt, cloud_path
from squire_pipelines.gateway.clouds.signing import sign
from squire_pipelines.gateway.forward import write_json
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.gateway.rules import GEMINI_COUNT_PATH, MESSAGES_PATH, Target, request_headers
from squire_pipelines.settings.providers import ModelProvider

_FIRST_ERROR = 300
_MAX_BODY = 64 * 2**10
_PING: dict[Protocol, tuple[str, dict[str, Any]]] = {
    Protocol.ANTHROPIC: (MESSAGES_PATH, {"max_tokens": 1, "messages": [{"role": "user", "content": "ping"}]}),
    Protocol.GEMINI: (GEMINI_COUNT_PATH, {"contents": [{"role": "user", "parts": [{"text": "ping"}]}]}),
}


def ask_cloud(client: httpx.Client, provider: ModelProvider, cloud: Cloud, model: str) -> ConditionState:
    """Ask about one model.

    Args:
        client: Asks.
        provider: Of the model.
        cloud: Where it is.
        model: As the platform calls it.

    Raises:
        httpx.HTTPError: The platform does not answer.
    """
    try:
        status, body = _ask(client, provider, cloud, model)
    except (ConfigError, NotReachableError) as error:
        return ConditionState.down(error.message, error.hint)
    if (fault := provider.words.fault_of(status, body, model=model)) is not None:
        return ConditionState.down(fault.message, fault.hint)
    if status >= _FIRST_ERROR:
        return ConditionState.degraded(f"the provider {provider.name} answers {status}", "try again later")
    return ConditionState.ok(f"{model} at the provider {provider.name}, {provider.base_url}")


def _ask(client: httpx.Client, provider: ModelProvider, cloud: Cloud, model: str) -> tuple[int, bytes]:
    protocol = provider.protocol or Protocol.ANTHROPIC
    path, question = _PING[protocol]
    credential = CredentialSource(cloud).find()
    headers, body = adapt(cloud.platform, protocol, request_headers([], None, protocol), write_json(question))
    url = (provider.base_url or "") + cloud_path(cloud.platform, Target(path), model, is_stream=False)
    url = str(client.build_request("POST", url).url)  # as it is sent, which is what is signed
    signed = sign(cloud, credential, method="POST", url=url, headers=headers, body=body)
    answer = bytearray()
    with client.stream("POST", url, headers=signed, content=body) as response:
        for chunk in response.iter_bytes():
            answer += chunk[: _MAX_BODY - len(answer)]
            if len(answer) >= _MAX_BODY:
                break
    if response.status_code >= _FIRST_ERROR:
        return response.status_code, error_body(response.headers, response.status_code, bytes(answer))
    return response.status_code, bytes(answer)
