"""The section of the settings about what an operator watches: the endpoint of metrics and health."""

from pydantic import Field

from squire_pipelines.sections.types import ListenHost, Seconds, SettingsSection


class ObservabilitySettings(SettingsSection):
    """The operator's endpoint: metrics and health over HTTP, for those who run Squire."""

    enabled: bool = Field(default=True, description="whether `squire dev` serves it")
    host: ListenHost = Field(default="127.0.0.1", description="nobody is asked for a password: keep it private")
    port: int = Field(default=9464, ge=0, le=65535)
    metrics_interval_s: Seconds = Field(
        default=10, description="how often metrics are read; what takes long is read less often"
    )
