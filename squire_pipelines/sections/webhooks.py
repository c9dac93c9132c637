"""The section of the settings about deliveries: where they are received, and within which bounds."""

from pydantic import Field

from squire_pipelines.domain.container_limits import Bytes
from squire_pipelines.sections.types import BaseUrl, ListenHost, SettingsSection


class WebhookSettings(SettingsSection):
    """The receiver of deliveries."""

    host: ListenHost = "127.0.0.1"
    port: int = Field(default=8471, ge=0, le=65535)
    public_url: BaseUrl | None = Field(default=None, description="where GitHub reaches the receiver, for a new App")
    max_body: Bytes = 25 * 2**20
    connections_per_address: int = Field(
        default=256, ge=1, le=1024, description="open at once; behind a proxy all have the proxy's address"
    )
    max_tries: int = Field(
        default=5, ge=1, le=20, description="how often a delivery that cannot be used is tried before it is set aside"
    )
