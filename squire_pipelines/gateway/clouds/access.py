"""Sends requests to a cloud's platform: adapted, signed with the credentials of the moment, the answers translated."""

import asyncio
from collections.abc import AsyncIterator

import httpx

from squire_pipelines.domain.provider_faults import FaultKind, UserFault
from squire_pipelines.errors import ConfigError, NotReachableError
from squire_pipelines.gateway.clouds.answers import translate
from squire_pipelines.gateway.clouds.cloud import Cloud
from squire_pipelines.gateway.clouds.credentials import CredentialSource
from squire_pipelines.gateway.clouds.requests import adapt
from squire_pipelines.gateway.clouds.signing import hidden_parts, sign
from squire_pipelines.gateway.key_filter import KeyFilter
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.secrets.secret import Secret

_PIECE_BYTES = 256 * 2**10
_MOST_KEYS = 4  # of the newest credentials: an answer that is under way may know the one before


class CredentialsError(Exception):
    """There are no credentials that can be used; `fault` says what the user has to do."""

    def __init__(self, fault: UserFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class GrowingKeyFilter(KeyFilter):
    """Keeps credentials out of answers that are renewed while it is in use."""

    def __init__(self) -> None:
        super().__init__(None)
        self._known: tuple[str, ...] = ()
        self._filters: tuple[KeyFilter, ...] = ()

    def learn(self, parts: tuple[str, ...]) -> None:
        """Take out these too. May be called from any thread; takes a moment for each that is new."""
        for part in parts:
            if part not in self._known:
                Secret(part, name="cloud-credential")  # from now on no log line of this process shows it
                self._filters = (*self._filters, KeyFilter(part))[-_MOST_KEYS:]
                self._known = (*self._known, part)[-_MOST_KEYS:]

    def clean(self, text: bytes) -> bytes:
        """Return a whole text without them."""
        for key_filter in self._filters:
            text = key_filter.clean(text)
        return text

    def clean_piece(self, text: bytes) -> tuple[bytes, bytes]:
        """Return what of a text that goes on is sure, without them, and the end that waits for what follows."""
        waits = b""
        for key_filter in self._filters:
            text, end = key_filter.clean_piece(text)
            waits = end + waits
        return text, waits


class CloudAccess:
    """One gateway's access to one provider on a cloud's platform.

    Args:
        cloud: Where its model is.
        protocol: What the model speaks.
    """

    def __init__(self, cloud: Cloud, protocol: Protocol | None) -> None:
        self.key_filter = GrowingKeyFilter()
        self._cloud = cloud
        self._protocol = protocol or Protocol.ANTHROPIC
        self._source = CredentialSource(cloud)

    async def send(self, client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
        """Send a request that has no credential yet; return the answer, translated, whose body is not read yet.

        Raises:
            CredentialsError: There are no credentials, or a library is missing.
            httpx.HTTPError: The credentials cannot be renewed now, or the platform cannot be reached.
        """
        try:
            signed = await self._signed(client, request)
        except ConfigError as error:
            hint = error.hint or self._cloud.words.renew
            raise CredentialsError(UserFault(FaultKind.KEY, error.message, hint, is_noticed=False)) from error
        except NotReachableError as error:
            raise httpx.ConnectError(error.message) from error
        return translate(self._protocol, await client.send(signed, stream=True))

    async def _signed(self, client: httpx.AsyncClient, request: httpx.Request) -> httpx.Request:
        if not isinstance(request.stream, httpx.AsyncByteStream):
            raise TypeError("a request without a stream")
        body = b"".join(
            [piece async for piece in request.stream]
        )  # not kept by the request as long as its answer lasts
        headers, body = adapt(self._cloud.platform, self._protocol, request.headers, body)
        headers = await asyncio.to_thread(self._sign, request.method, str(request.url), headers, body)
        headers["content-length"] = str(len(body))
        return client.build_request(request.method, request.url, content=_once(body), headers=headers)

    def _sign(self, method: str, url: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
        credential = self._source.find()
        self.key_filter.learn(hidden_parts(credential))  # before anything is sent that has it
        return sign(self._cloud, credential, method=method, url=url, headers=headers, body=body)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]
