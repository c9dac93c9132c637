"""The check of `squire doctor` that the endpoint to which traces are sent takes them."""

import asyncio
from collections.abc import Iterator
from importlib.util import find_spec

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.endpoint.otlp_sending import SendResult, send, trace_target

_WITHIN_S = 5.0
_NO_SPANS = b""


def check_tracing(context: CliContext) -> Iterator[Diagnosis]:
    """Send a request without spans; nothing is said where traces are sent nowhere. Raises ConfigError."""
    target = trace_target(context.settings)
    if target is None:
        return
    if find_spec("opentelemetry.proto") is None:
        hint = "pip install 'squire-pipelines[otel]'"
        yield Diagnosis("tracing", "warn", "no traces are sent: the package opentelemetry-proto is not installed", hint)
        return
    outcome = asyncio.run(send(target, _NO_SPANS, within_s=_WITHIN_S))
    if outcome.result is SendResult.TAKEN:
        yield Diagnosis("tracing", "ok", f"{target.place} takes traces")
        return
    hint = "check `tracing.endpoint` and the secret otlp-headers; nothing else waits for it"
    yield Diagnosis("tracing", "warn", f"{target.place} does not take traces: {outcome.reason}", hint)
