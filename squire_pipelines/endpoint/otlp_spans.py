"""Spans in the form of OpenTelemetry: which attributes they have, and the bytes of OTLP. Sends nothing.

Attributes are those of a closed list, made of ids, words of ours, names of models and repositories, and numbers: no
title, prompt, message or branch. The conventions for models are those of one revision, which `SCHEMA_URL` names: the
last one before they moved to https://github.com/open-telemetry/semantic-conventions-genai.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from squire_pipelines import __version__
from squire_pipelines.domain.spans import Span
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.machine_name import machine_name

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"
SCOPE = "squire_pipelines"
_INSTANCES = uuid.UUID("4d63009a-8d0f-11ee-aad7-4c796ed8e320")
"""The conventions' namespace for ids of instances that are made of a name:
https://opentelemetry.io/docs/specs/semconv/registry/attributes/service/."""

_MAX_TEXT = 200
_SAMPLED = 1
_KINDS: Mapping[str, OtlpSpan.SpanKind.ValueType] = MappingProxyType(
    {"delivery": OtlpSpan.SPAN_KIND_CONSUMER, "model_call": OtlpSpan.SPAN_KIND_CLIENT}
)
_PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "azure": "azure.ai.openai",
        "bedrock": "aws.bedrock",
        "claude": "anthropic",
        "gemini": "gcp.gemini",
        "google": "gcp.gemini",
        "gpt": "openai",
        "grok": "x_ai",
        "mistral": "mistral_ai",
        "vertex": "gcp.vertex_ai",
        "xai": "x_ai",
    }
)
"""The conventions' names of providers, by the words that the settings' names and models begin with."""

Value = str | int | float


def encode(spans: Sequence[Span], *, service: str, redact: Callable[[str], str]) -> bytes:
    """Return a request of OTLP with these spans, which have all ended.

    Args:
        spans: Of whatever traces.
        service: The name of this service in traces.
        redact: Takes secrets out of texts.
    """

    def clean(text: str) -> str:
        return one_line(redact(text), limit=_MAX_TEXT)

    machine = machine_name()
    own = {
        "service.name": service,
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid5(_INSTANCES, machine)),
        "host.name": machine,
    }
    resource = Resource(attributes=_key_values(own, clean))
    scope = ScopeSpans(
        scope=InstrumentationScope(name=SCOPE, version=__version__),
        spans=[_otlp_span(span, clean) for span in spans],
        schema_url=SCHEMA_URL,
    )
    resource_spans = ResourceSpans(resource=resource, scope_spans=[scope], schema_url=SCHEMA_URL)
    body: bytes = ExportTraceServiceRequest(resource_spans=[resource_spans]).SerializeToString()
    return body


def _otlp_span(span: Span, clean: Callable[[str], str]) -> OtlpSpan:
    encoded = OtlpSpan(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_span_id or ""),
        flags=_SAMPLED,
        name=clean(_name(span)),
        kind=_KINDS.get(span.kind, OtlpSpan.SPAN_KIND_INTERNAL),
        start_time_unix_nano=_nanoseconds(span.started_at),
        end_time_unix_nano=_nanoseconds(span.ended_at or span.started_at),
        attributes=_key_values(dict(attributes_of(span)), clean),
    )
    if span.status == "error":
        encoded.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message=clean(span.detail or "")))
    return encoded


def _name(span: Span) -> str:
    if _is_agent(span):
        return f"invoke_agent {span.detail}"
    return f"attempt {span.name}" if span.kind == "step" else span.name


def _is_agent(span: Span) -> bool:
    return span.kind == "step" and span.name == "agent" and span.detail is not None


def attributes_of(span: Span) -> Iterator[tuple[str, Value]]:
    """Yield the attributes of a span that are known."""
    own: Mapping[str, Value | None] = {
        "squire.kind": span.kind,
        "squire.status": span.status,
        "squire.detail": span.detail,
        "squire.repository": span.repository,
        "squire.task.id": span.task_id,
        "squire.attempt.id": span.attempt_id,
        "squire.linked_trace_id": span.linked_trace_id,
        "url.full": span.url,
    }
    model: Mapping[str, Value | None] = {}
    if span.kind == "model_call":
        model = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider_name(span.provider, span.model),
            "gen_ai.request.model": span.model,
            "gen_ai.usage.input_tokens": span.input_tokens,
            "gen_ai.usage.output_tokens": span.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": span.cached_tokens,
            "http.response.status_code": span.http_status,
            "squire.cost_usd": span.cost_usd,
        }
    elif _is_agent(span):
        model = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": provider_name(span.provider, span.model),
            "gen_ai.agent.name": span.detail,
            "gen_ai.request.model": span.model,
        }
    error = {"error.type": span.detail} if span.status == "error" else {}
    yield from ((key, value) for key, value in {**own, **model, **error}.items() if value is not None)


def provider_name(provider: str | None, model: str | None) -> str:
    """Return the conventions' name of a provider: by its name in the settings, else by its model's.

    A provider that the conventions do not know keeps its own name.
    """
    own = "" if provider in {None, "default"} else provider or ""
    first = (own or model or "").lower().replace("_", "-").partition("/")[0].partition(":")[0].partition("-")[0]
    return _PROVIDERS.get(first) or own or first or "unknown"


def _key_values(attributes: Mapping[str, Value], clean: Callable[[str], str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value, clean)) for key, value in attributes.items()]


def _any_value(value: Value, clean: Callable[[str], str]) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=clean(value))
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(double_value=value)


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000) * 1000
