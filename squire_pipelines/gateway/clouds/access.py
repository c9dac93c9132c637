"""Sends requests to a cloud's platform: adapted, signed with the credentials of the moment, the answers translated."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import httpx

from squire_pipelines.domain.provider_faults import FaultKind, UserFault
from squire_pipelines.errors import ConfigError, NotReachableError
from squire_pipelines.gateway.clouds.answers import translate
from squire_pipelines.gateway.clouds.cloud import Cloud, Credential
from squire_pipelines.gateway.clouds.credentials import CredentialSource
from squire_pipelines.gateway.clouds.requests import adapt
from squire_pipelines.gateway.clouds.signing import hidden_parts, sign
from squire_pipelines.gateway.model import Protocol


class CredentialsError(Exception):
    """There are no credentials that only the user could give; `fault` says what to do."""

    def __init__(self, fault: UserFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class CloudAccess:
    """One gateway's access to one cloud.

    Args:
        cloud: Where its model is.
        protocol: What the model speaks.
        on_credential: Called, in another thread, with what answers must not repeat, whenever that is new.
    """

    def __init__(self, cloud: Cloud, protocol: Protocol, on_credential: Callable[[tuple[str, ...]], None]) -> None:
        self._cloud = cloud
        self._protocol = protocol
        self._source = CredentialSource(cloud)
        self._on_credential = on_credential
        self._known: tuple[str, ...] = ()

    async def send(
        self,
        client: httpx.AsyncClient,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        stream: Callable[[bytes], AsyncIterator[bytes]],
    ) -> httpx.Response:
        """Send a request; return the answer, translated, whose body is not read yet.

        Args:
            client: Sends it.
            method: Of HTTP.
            url: Of the request.
            headers: Without any credential.
            body: Of it.
            stream: Yields the body in pieces.

        Raises:
            CredentialsError: There are no credentials, or a library is missing.
            httpx.HTTPError: The credentials cannot be renewed now, or the platform cannot be reached.
        """
        headers, body = adapt(self._cloud.platform, self._protocol, headers, body)
        try:
            signed = await asyncio.to_thread(self._sign, method, url, headers, body)
        except ConfigError as error:
            hint = error.hint or self._cloud.words.renew
            raise CredentialsError(UserFault(FaultKind.KEY, error.message, hint)) from error
        except NotReachableError as error:
            raise httpx.ConnectError(error.message) from error
        signed["content-length"] = str(len(body))
        request = client.build_request(method, url, content=stream(body), headers=signed)
        return translate(self._protocol, await client.send(request, stream=True))

    def _sign(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        credential: Credential = self._source.find()
        hidden = hidden_parts(credential)
        if hidden != self._known:
            self._on_credential(hidden)  # before anything is sent that has it
            self._known = hidden
        return sign(self._cloud, credential, method=method, url=url, headers=headers, body=body)
