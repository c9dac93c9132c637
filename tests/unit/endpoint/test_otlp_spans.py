"""What is sent of a span: OTLP as its schema reads it, attributes of the conventions, no text of a repository."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.semconv.schemas import Schemas

from squire_pipelines.domain.spans import Span
from squire_pipelines.endpoint.otlp_sending import parse_headers, trace_target
from squire_pipelines.endpoint.otlp_spans import SCHEMA_URL, attributes_of, encode, provider_name
from squire_pipelines.errors import ConfigError
from squire_pipelines.machine_name import machine_name
from squire_pipelines.sections.observability import TracingSettings
from squire_pipelines.settings.model import Settings

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
CALL = Span(
    trace_id="ab" * 16, span_id="cd" * 8, parent_span_id="ef" * 8, linked_trace_id=None, kind="model_call",
    name="chat claude-sonnet-4-5", status="ok", detail=None, started_at=START,
    ended_at=START + timedelta(milliseconds=1500), duration_s=1.5, repository="acme/shop", task_id="t1",
    attempt_id="t1-1", source_id="7", title=None, url=None, provider="default", model="claude-sonnet-4-5",
    http_status=200, input_tokens=1200, output_tokens=80, cached_tokens=1000, cost_usd=0.0048, recorded_at=START,
)  # fmt: skip


def sent(span: Span) -> tuple[OtlpSpan, dict[str, object]]:
    """The span as a collector reads it, and its attributes."""
    body = encode([span], service="squire", redact=lambda text: text.replace("hunter2", "***"))
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    (scope,) = resource.scope_spans
    assert resource.schema_url == scope.schema_url == SCHEMA_URL
    own = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert (own["service.name"], own["host.name"]) == ("squire", machine_name())
    assert uuid.UUID(own["service.instance.id"]).version == 5
    (encoded,) = scope.spans
    return encoded, {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in encoded.attributes}


def test_a_call_of_a_model_is_sent_by_the_conventions_for_models() -> None:
    encoded, attributes = sent(CALL)
    assert (encoded.trace_id.hex(), encoded.span_id.hex(), encoded.parent_span_id.hex()) == (
        CALL.trace_id, CALL.span_id, CALL.parent_span_id,
    )  # fmt: skip
    assert (encoded.name, encoded.kind, encoded.status.code) == ("chat claude-sonnet-4-5", OtlpSpan.SPAN_KIND_CLIENT, 0)
    assert encoded.end_time_unix_nano - encoded.start_time_unix_nano == 1_500_000_000
    assert encoded.start_time_unix_nano == 1_772_366_400 * 10**9
    assert attributes == {
        "squire.kind": "model_call",
        "squire.status": "ok",
        "squire.repository": "acme/shop",
        "squire.task.id": "t1",
        "squire.attempt.id": "t1-1",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 80,
        "gen_ai.usage.cache_read.input_tokens": 1000,
        "http.response.status_code": 200,
        "squire.cost_usd": 0.0048,
    }


def test_an_agents_run_is_sent_as_an_invocation() -> None:
    encoded, attributes = sent(replace(CALL, kind="step", name="agent", detail="opencode", source_id="t1-1/agent"))
    assert (encoded.name, encoded.kind) == ("invoke_agent opencode", OtlpSpan.SPAN_KIND_INTERNAL)
    assert attributes["gen_ai.operation.name"] == "invoke_agent"
    assert attributes["gen_ai.agent.name"] == "opencode"
    assert "gen_ai.usage.input_tokens" not in attributes


def test_a_failure_has_its_cause_and_no_text_is_sent_that_is_not_a_word_of_ours() -> None:
    failed = replace(CALL, kind="task", name="task fix_ci", status="error", detail="agent_error", title="hunter2 leaks")
    encoded, attributes = sent(failed)
    assert (encoded.status.code, encoded.status.message) == (2, "agent_error")
    assert attributes["error.type"] == "agent_error"
    assert b"leaks" not in encode([failed], service="squire", redact=str)


def test_secrets_and_controls_are_taken_out_and_long_names_are_cut() -> None:
    _, attributes = sent(replace(CALL, model="hunter2\x1b[2J" + "m" * 500))
    model = attributes["gen_ai.request.model"]
    assert isinstance(model, str)
    assert model.startswith("***m")
    assert len(model) == 200


def test_all_names_of_the_conventions_are_names_of_theirs() -> None:
    groups = ("gen_ai", "http", "url", "error", "service")
    known = set()
    for group in groups:
        for package in ("_incubating.attributes", "attributes"):
            try:
                module = import_module(f"opentelemetry.semconv.{package}.{group}_attributes")
            except ModuleNotFoundError:
                continue
            known |= {value for value in vars(module).values() if isinstance(value, str)}
    agent = replace(CALL, kind="step", name="agent", detail="x")
    failed = replace(CALL, status="error", detail="500", url="https://github.com/acme/shop/pull/1")
    names = {key for span in (CALL, agent, failed) for key, _ in attributes_of(span)}
    assert {name for name in names if not name.startswith("squire.")} <= known
    assert SCHEMA_URL in {schema.value for schema in Schemas}


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("anthropic", "claude-sonnet-4-5", "anthropic"),
        ("default", "anthropic/claude-sonnet-4-5", "anthropic"),
        (None, "openai:gpt-5", "openai"),
        (None, "gpt-5-mini", "openai"),
        (None, "gemini-3-pro", "gcp.gemini"),
        ("bedrock-eu", "claude", "aws.bedrock"),
        ("our-own", "llama", "our-own"),
        (None, None, "unknown"),
    ],
)
def test_a_provider_has_the_conventions_name_where_they_have_one(
    provider: str | None, model: str | None, name: str
) -> None:
    assert provider_name(provider, model) == name


def test_headers_are_read_as_opentelemetry_writes_them() -> None:
    assert parse_headers("Authorization=Basic%20abc=, x-team = core ,broken,=none") == {
        "authorization": "Basic abc=",
        "x-team": "core",
    }


@pytest.mark.parametrize(
    ("tracing", "variables", "url"),
    [
        ({}, {}, None),
        ({"endpoint": "http://127.0.0.1:4318/"}, {}, "http://127.0.0.1:4318/v1/traces"),
        ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        (
            {},
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x"},
            "http://t/x",
        ),
        ({"endpoint": "http://own"}, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x"}, "http://own/v1/traces"),
        ({"endpoint": "http://own", "enabled": False}, {}, None),
        ({"endpoint": "http://own"}, {"OTEL_SDK_DISABLED": "true"}, None),
    ],
)
def test_where_traces_go_is_said_by_the_settings_or_by_opentelemetrys_variables(
    tracing: dict[str, object], variables: dict[str, str], url: str | None
) -> None:
    target = trace_target(Settings(tracing=TracingSettings.model_validate(tracing)), variables)
    assert (target.url if target is not None else None) == url
    if target is not None:
        assert target.service == "squire"


def test_an_address_with_a_query_is_refused_and_what_is_logged_has_neither_user_nor_query() -> None:
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_ENDPOINT has a query") as refused:
        trace_target(Settings(), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1/?api-key=OTLPSEKRET77"})
    assert "SEKRET" not in str(refused.value)
    target = trace_target(
        Settings(), {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://joe:pw@host:1/v1/traces?key=SEKRET"}
    )
    assert target is not None
    assert target.place == "http://host:1/v1/traces"
