"""The sections of the settings about what an operator watches: the endpoint of metrics and health, and traces."""

from pydantic import Field

from squire_pipelines.sections.types import BaseUrl, ListenHost, Seconds, SettingsSection


class ObservabilitySettings(SettingsSection):
    """The operator's endpoint: metrics and health over HTTP, for those who run Squire."""

    enabled: bool = Field(default=True, description="whether `squire dev` serves it")
    host: ListenHost = Field(default="127.0.0.1", description="nobody is asked for a password: keep it private")
    port: int = Field(default=9464, ge=0, le=65535)
    metrics_interval_s: Seconds = Field(
        default=10, ge=0.1, description="how often metrics are read; what takes long is read less often"
    )


class TracingSettings(SettingsSection):
    """Sending traces to OpenTelemetry, by the endpoint's process. `squire trace` needs none of it."""

    enabled: bool = Field(default=True, description="whether traces are sent, where an endpoint is set")
    endpoint: BaseUrl | None = Field(
        default=None,
        description="OTLP over HTTP, such as http://127.0.0.1:4318, by the headers of the secret otlp-headers; else "
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    sample_ratio: float = Field(default=1.0, ge=0, le=1, description="which part of all traces is sent, each whole")
