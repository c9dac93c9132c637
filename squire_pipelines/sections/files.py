"""The section of the settings about the store of files that several machines share."""

from typing import Annotated

from pydantic import AfterValidator, Field

from squire_pipelines.domain.container_limits import Bytes
from squire_pipelines.domain.store_urls import check_store_url
from squire_pipelines.secret_names import FILES_KEY, FILES_KEY_ID
from squire_pipelines.sections.hidden_values import HIDDEN, hidden_error
from squire_pipelines.sections.types import BaseUrl, Seconds, SettingsSection


def _check_url(text: str) -> str:
    try:
        return check_store_url(text)
    except ValueError as error:  # somebody may have written credentials into it
        raise hidden_error(str(error)) from None


StoreUrl = Annotated[str, Field(max_length=1000), AfterValidator(_check_url), HIDDEN]


class FileSettings(SettingsSection):
    """The store of what must outlive a machine or be read on another one; see docs/guide/many-machines.md."""

    url: StoreUrl = Field(
        default="", description="file:///mnt/shared/squire, or a bucket like s3://bucket/prefix; empty: the home alone"
    )
    endpoint_url: BaseUrl | None = Field(default=None, description="of a store that speaks S3 and is not Amazon's")
    timeout_s: Seconds = Field(default=30, description="of one request, with a second more for each MiB")
    tries: int = Field(default=4, ge=1, le=20, description="of each request, with growing waits between them")
    patience_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=120, description="how long finished work waits for the store before it is published from its machine"
    )
    max_object: Annotated[Bytes, Field(ge=2**20, le=5 * 2**30)] = Field(
        default=2 * 2**30, description="of one file; a larger one is not put into the store"
    )
    max_total: Bytes = Field(default=100 * 2**30, description="of all files; `squire doctor` warns of more")
    max_cache: Annotated[Bytes, Field(ge=2**20)] = Field(
        default=2**30, description="of files that were fetched from the store, in the home's cache"
    )
    log_every_s: Seconds = Field(default=3, ge=0.1, description="how often a running agent's log is put into the store")
    publish_every_s: Seconds = Field(default=600, description="how often the warehouse is put into the store at most")

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The names of the secrets that the store may need; none where no store is set, or a folder."""
        is_bucket = bool(self.url) and not self.url.startswith("file:")
        return (FILES_KEY_ID, FILES_KEY) if is_bucket else ()
