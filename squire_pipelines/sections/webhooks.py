"""The section of the settings about deliveries: where they are received, and within which bounds."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from squire_pipelines.domain.container_limits import Bytes
from squire_pipelines.secret_names import check_webhook_key
from squire_pipelines.sections.delivery_filters import DeliveryFilters
from squire_pipelines.sections.types import (
    BaseUrl,
    Cron,
    ListenHost,
    RepositoryName,
    SettingsSection,
    refuse_two_spellings,
)

WebhookKeyName = Annotated[str, AfterValidator(check_webhook_key)]

_MOST_OF_A_REPOSITORY = 3
_MOST_REPOSITORIES = 20  # a delivery is verified with each secret there is


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
    filters: DeliveryFilters = Field(default=(), description="which deliveries ask for nothing, a table for each rule")
    refusals_per_address: int = Field(
        default=60, ge=1, le=100_000, description="refused requests of one address in a minute; further ones get 429"
    )
    max_inbox: Bytes = Field(
        default=2**30, description="of deliveries that wait to be read, compressed; beyond it new ones get 503"
    )
    repair_schedule: Cron = Field(
        default="*/15 * * * *", description="when deliveries are compared with GitHub's, in UTC; at each start too"
    )
    repair_most: int = Field(
        default=100, ge=1, le=1000, description="deliveries of a webhook that one repair asks GitHub to send again"
    )
    secrets: dict[
        RepositoryName, Annotated[tuple[WebhookKeyName, ...], Field(min_length=1, max_length=_MOST_OF_A_REPOSITORY)]
    ] = Field(
        default_factory=dict,
        max_length=_MOST_REPOSITORIES,
        description="names of the secrets of single repositories' webhooks, by repository",
    )

    @model_validator(mode="after")
    def _check_spellings(self) -> Self:
        refuse_two_spellings(self.secrets, "webhooks.secrets")
        return self

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The names of the secrets of single repositories' webhooks."""
        return tuple(dict.fromkeys(name for names in self.secrets.values() for name in names))
