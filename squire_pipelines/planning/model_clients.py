"""The model that a planner asks, made by pydantic-ai for the provider's protocol and kept from asking again in vain.

pydantic-ai takes seconds to import: import this module where it is used.
"""

import json
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.providers import Provider, infer_provider, infer_provider_class
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.usage import RunUsage

from squire_pipelines.domain.provider_faults import UserFault, fault_kind, is_failure_status
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families
from squire_pipelines.planning.model_answers import CompatibleModel
from squire_pipelines.settings.providers import ModelProvider
from squire_pipelines.trusted_certificates import tls_context

_OPENAI_PREFIXES = ("openai:", "openai-chat:")
# Of providers that take a client of their own SDK's library.
_TAKE_CLIENTS = frozenset({"openai", "openai-chat", "openai-responses", "anthropic", "google", "google-gla"})
_FIRST_ERROR = 400
_CONNECT_S = 10.0
MAX_BYTES = 32 * 2**20
"""Of one answer."""

_SENT_AT = "squire_sent_at"
_PIECE_BYTES = 2**16
_PACKED_BY_ZLIB = frozenset({"gzip", "x-gzip", "deflate"})
_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32  # it sees by the first bytes which of the two it is
_NO_KEY = "no-key"  # where a provider needs none; without one, its library would look for another's in the environment


@asynccontextmanager
async def open_model(
    model: str, provider: ModelProvider, api_key: str | None, usage: RunUsage, *, timeout_s: float
) -> AsyncIterator[Model]:
    """Make the model to ask, whose connections end with the block.

    Args:
        model: Its name at the provider; `provider:model` where no address is known.
        provider: Where it is.
        api_key: Goes to this provider alone.
        usage: Gets what the model cannot read.
        timeout_s: Of one request.

    Raises:
        UserError, ImportError, ValueError, TypeError: There is no such provider, or it lacks something.
        ConfigError, NotReachableError: A cloud's credentials are not there.
    """
    timeout = httpx2.Timeout(timeout_s, connect=_CONNECT_S)
    hooks: dict[str, list[Callable[..., Any]]] = {
        "request": [note_sending],
        "response": [observe_first_piece, bound_answer, _mark_final],
    }
    headers = {"accept-encoding": "identity"}
    async with httpx2.AsyncClient(verify=tls_context(), timeout=timeout, event_hooks=hooks, headers=headers) as client:
        if provider.cloud is not None:
            from squire_pipelines.planning.cloud_models import cloud_model  # noqa: PLC0415 - where it is needed

            place = provider.base_url or ""
            yield await cloud_model(model, provider.cloud, provider.protocol, place, client)
        elif provider.base_url is None:
            yield _inferred(model, api_key, client)
        else:
            key = api_key or _NO_KEY
            yield _BUILDERS[provider.protocol or Protocol.OPENAI](model, provider.base_url, key, client, usage)


async def note_sending(request: httpx2.Request) -> None:
    """Note when a request goes out, for `observe_first_piece`."""
    request.extensions[_SENT_AT] = time.monotonic()


async def observe_first_piece(response: httpx2.Response) -> None:
    """Count how long the beginning of an answer took; one that is an error is no answer of the model's."""
    sent_at = response.request.extensions.get(_SENT_AT)
    if response.status_code < _FIRST_ERROR and sent_at is not None:
        metrics.observe(families.MODEL_FIRST_BYTE, time.monotonic() - sent_at, "plan")


class _BoundedStream(httpx2.AsyncByteStream):
    """An answer's bytes, which break off where there are too many: an endless one would fill the memory."""

    def __init__(self, stream: httpx2.AsyncByteStream, limit: int) -> None:
        self._stream = stream
        self._left = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            self._left -= len(part)
            if self._left < 0:
                raise httpx2.ReadError("the answer is too long")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


class _UnpackedStream(httpx2.AsyncByteStream):
    """An answer that came packed, though nobody asked for that, unpacked in small pieces.

    One packed piece may become a thousand times as long: it is never unpacked as a whole.
    """

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        unpacking = zlib.decompressobj(_ZLIB_OR_GZIP)
        try:
            async for part in self._stream:
                left = part
                while left:
                    yield unpacking.decompress(left, _PIECE_BYTES)
                    left = unpacking.unconsumed_tail
            yield unpacking.flush(_PIECE_BYTES)
        except zlib.error as error:
            raise httpx2.ReadError("the answer cannot be unpacked") from error

    async def aclose(self) -> None:
        await self._stream.aclose()


async def bound_answer(response: httpx2.Response) -> None:
    """Take no more of an answer than any plan needs, also of what is packed in it. Raises ReadError."""
    stream = response.stream
    if not isinstance(stream, httpx2.AsyncByteStream):
        return
    packed = response.headers.get("content-encoding", "identity").strip().lower()
    if packed in _PACKED_BY_ZLIB:
        del response.headers["content-encoding"]  # the client would unpack it again, each piece as a whole
        stream = _UnpackedStream(stream)
    elif packed != "identity":
        raise httpx2.ReadError("the answer is packed in a way that was not asked for")
    response.stream = _BoundedStream(stream, MAX_BYTES)


async def _mark_final(response: httpx2.Response) -> None:
    """Tell the providers' libraries not to ask again what only the user can change; they heed this header."""
    if response.status_code >= _FIRST_ERROR:
        await response.aread()
        if fault_kind(response.status_code, response.content) is not None:
            response.headers["x-should-retry"] = "false"


def _openai(model: str, base_url: str, api_key: str, client: httpx2.AsyncClient, usage: RunUsage) -> Model:
    for prefix in _OPENAI_PREFIXES:
        model = model.removeprefix(prefix)
    provider = OpenAICompatibleProvider("custom", base_url=base_url, api_key=api_key, http_client=client)
    return CompatibleModel(model, provider, usage)


def _anthropic(model: str, base_url: str, api_key: str, client: httpx2.AsyncClient, _usage: RunUsage) -> Model:
    from pydantic_ai.models.anthropic import AnthropicModel  # noqa: PLC0415 - each library takes a second
    from pydantic_ai.providers.anthropic import AnthropicProvider  # noqa: PLC0415 - likewise

    root = base_url.rstrip("/").removesuffix("/v1")  # the library adds the version
    client.headers["x-api-key"] = api_key  # the library's own header is not known to every compatible server
    return AnthropicModel(model, provider=AnthropicProvider(api_key=api_key, base_url=root, http_client=client))


def _gemini(model: str, base_url: str, api_key: str, client: httpx2.AsyncClient, _usage: RunUsage) -> Model:
    from pydantic_ai.models.google import GoogleModel  # noqa: PLC0415 - likewise
    from pydantic_ai.providers.google import GoogleProvider  # noqa: PLC0415 - likewise

    root = base_url.rstrip("/").removesuffix("/v1beta")  # likewise
    return GoogleModel(model, provider=GoogleProvider(api_key=api_key, base_url=root, http_client=client))


_Builder = Callable[[str, str, str, httpx2.AsyncClient, RunUsage], Model]
_BUILDERS: dict[Protocol, _Builder] = {
    Protocol.OPENAI: _openai,
    Protocol.ANTHROPIC: _anthropic,
    Protocol.GEMINI: _gemini,
}


def _inferred(model: str, api_key: str | None, client: httpx2.AsyncClient) -> Model:
    def provider(name: str) -> Provider[Any]:
        if api_key is None:
            return infer_provider(name)
        # Every provider that takes a key takes it under this name; one that takes none says so by a TypeError.
        provider_class: Any = infer_provider_class(name)
        more = {"http_client": client} if name in _TAKE_CLIENTS else {}
        built: Provider[Any] = provider_class(api_key=api_key, **more)
        return built

    return infer_model(model, provider_factory=provider)


def fault_behind(error: BaseException, provider: ModelProvider, model: str) -> UserFault | None:
    """Return what the user has to change after an error of a conversation; None when it is nothing of theirs."""
    if not isinstance(error, ModelHTTPError):
        return None
    text = error.body if isinstance(error.body, str) else json.dumps(error.body, default=str)
    return provider.words.fault_of(error.status_code, text.encode(), model=model)


def is_unavailable(error: BaseException) -> bool:
    """Return whether an error of a conversation is of a provider that cannot be reached, or has an error of its own."""
    if isinstance(error, ModelHTTPError):
        return is_failure_status(error.status_code)
    return isinstance(error, ModelAPIError)
