"""Sends a request of OTLP over HTTP, once and within a time: where to, by which headers, and what the answer means."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote, urlsplit

import httpx

from squire_pipelines.errors import ConfigError
from squire_pipelines.secret_names import SecretName
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.settings.model import Settings
from squire_pipelines.trusted_certificates import tls_context

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_VARIABLE = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
SERVICE_VARIABLE = "OTEL_SERVICE_NAME"
DISABLED_VARIABLE = "OTEL_SDK_DISABLED"
PATH = "/v1/traces"

SEND_S = 10.0
"""How long one request may take in all, however slowly its answer comes."""

_MAX_ANSWER = 64 * 1024
_REFUSED_FOR_GOOD = frozenset({400, 413, 422})
_OK, _FIRST_REDIRECT = 200, 300


class SendResult(StrEnum):
    """What became of a request: it was taken, it may be sent again later, or it is no use to send it again."""

    TAKEN = "taken"
    AGAIN = "again"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What became of a request, and why, in words for a log."""

    result: SendResult
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TraceTarget:
    """Where traces go: the whole URL, the headers of each request, the name of this service, and which traces."""

    url: str
    service: str
    sample_ratio: float
    headers: Mapping[str, str]

    @property
    def place(self) -> str:
        """The URL as it may be logged: without a user and without a query, which may be a key."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def trace_target(settings: Settings, environment: Mapping[str, str] = os.environ) -> TraceTarget | None:
    """Return where the settings send traces to, else the variables of OpenTelemetry; None for nowhere.

    Raises:
        ConfigError: A variable's URL cannot be used.
        SquireError: The secret with the headers cannot be read.
    """
    tracing = settings.tracing
    if not tracing.enabled or environment.get(DISABLED_VARIABLE, "").strip().lower() == "true":
        return None
    base = tracing.endpoint or environment.get(ENDPOINT_VARIABLE, "").strip()
    if "?" in base or "#" in base:  # the path would be added behind it
        raise ConfigError(
            f"{ENDPOINT_VARIABLE} has a query, and is an address alone",
            hint="a key belongs into the secret otlp-headers, or OTEL_EXPORTER_OTLP_HEADERS",
        )
    url = "" if tracing.endpoint else environment.get(TRACES_VARIABLE, "").strip()
    url = url or (f"{base.rstrip('/')}{PATH}" if base else "")
    if not url:
        return None
    secret = find_secret(SecretName.OTLP_HEADERS, settings.secret_sources)
    return TraceTarget(
        url=url,
        service=environment.get(SERVICE_VARIABLE, "").strip() or "squire",
        sample_ratio=tracing.sample_ratio,
        headers=parse_headers(secret.reveal() if secret is not None else ""),
    )


def parse_headers(text: str) -> dict[str, str]:
    """Return headers as `OTEL_EXPORTER_OTLP_HEADERS` has them: `name=value,name=value`, values percent-encoded."""
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs if name.strip()}


async def send(target: TraceTarget, body: bytes, *, within_s: float = SEND_S) -> SendOutcome:
    """Send one request of OTLP, and return what became of it; an endpoint that does not answer raises nothing."""
    headers = {**target.headers, "content-type": "application/x-protobuf"}
    try:
        # The library's own limits are for each piece of an answer: one that trickles would never end.
        async with (
            asyncio.timeout(within_s),
            httpx.AsyncClient(timeout=within_s, verify=tls_context()) as client,
            client.stream("POST", target.url, content=body, headers=headers) as response,
        ):
            answer = await _read(response)
    except TimeoutError:
        return SendOutcome(SendResult.AGAIN, f"no answer within {within_s:g} s")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        return SendOutcome(SendResult.AGAIN, type(error).__name__)
    return _judge(response.status_code, answer)


async def _read(response: httpx.Response) -> bytes:
    answer = b""
    async for piece in response.aiter_bytes():
        answer += piece
        if len(answer) > _MAX_ANSWER:
            break
    return answer[:_MAX_ANSWER]


def _judge(status: int, answer: bytes) -> SendOutcome:
    if _OK <= status < _FIRST_REDIRECT:
        return SendOutcome(SendResult.TAKEN, _rejected(answer))
    if status in _REFUSED_FOR_GOOD:
        return SendOutcome(SendResult.REFUSED, f"HTTP {status}")
    return SendOutcome(SendResult.AGAIN, f"HTTP {status}")


def _rejected(answer: bytes) -> str:
    """Return how many spans an endpoint says that it did not take; empty for none, or where it says nothing known."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - part of an extra
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - likewise
        ExportTraceServiceResponse,
    )

    try:
        rejected = ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans
    except DecodeError:
        return ""  # some answer in JSON, or with nothing
    return f"{rejected} spans were not taken" if rejected else ""
