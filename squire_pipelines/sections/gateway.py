"""The sections of the settings that say what an agent may reach. Names of hosts are the user's; none is built in."""

import re
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from squire_pipelines.domain.container_limits import Bytes
from squire_pipelines.sections.types import BaseUrl, Count, EngineName, Name, Seconds, SettingsSection

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def _check_registry_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a name: use up to 40 small letters, digits, - and _")
    return name


RegistryName = Annotated[str, AfterValidator(_check_registry_name)]
Usd = Annotated[float, Field(ge=0, le=1_000_000)]
RegistryUrl = Annotated[BaseUrl, AfterValidator(lambda url: url.rstrip("/") + "/")]


class PriceSettings(SettingsSection):
    """What a model costs, in USD for a million tokens; wins over the built-in table of prices."""

    input: Usd
    output: Usd
    cached: Usd | None = Field(default=None, description="read from the provider's cache; else input")
    cache_write: Usd | None = Field(default=None, description="written to it; else input")


class RegistrySettings(SettingsSection):
    """A registry that agents may read. `kind` decides which package manager is told of it."""

    kind: Literal["npm", "pypi", "generic"] = "generic"
    base_url: RegistryUrl
    index: str = Field(default="", pattern=r"^[A-Za-z0-9._~/-]*$", description="path of the index below it")
    files: tuple[RegistryUrl, ...] = Field(default=(), max_length=8, description="where else its files may lie")


class GatewaySettings(SettingsSection):
    """All that an agent reaches: bounds, prices, and the registries that it may read (none by default)."""

    transport: Literal["auto", "socket", "container"] = Field(
        default="auto", description="container: one of its own; auto: where the engine has no socket on this machine"
    )
    network: EngineName = Field(default="bridge", description="of that container, by which it reaches the provider")
    max_calls: int = Field(default=2000, ge=1, le=1_000_000, description="of a model, in an attempt")
    max_failures: int = Field(default=5, ge=1, le=1000, description="of a provider in a row; it is then asked no more")
    max_concurrent: int = Field(default=16, ge=1, le=256)
    max_request: Bytes = 16 * 2**20
    max_response: Bytes = 64 * 2**20
    connect_s: Seconds = 10
    idle_s: Seconds = Field(default=300, description="between two pieces of an answer")
    call_s: Seconds = Field(default=900, description="of one call")
    checkpoint_s: Seconds = Field(default=2, description="how often what is spent goes to the ledger")
    max_log: Bytes = 8 * 2**20
    log_bodies: bool = Field(default=False, description="for debugging: keep what is asked and answered")
    max_output: int = Field(
        default=32_000, ge=2048, le=1_000_000, description="tokens of an answer where a request names none, with a cap"
    )
    web_search: bool = Field(default=False, description="whether the provider may search the web for an agent")
    models: tuple[Name, ...] = Field(default=(), description="further models that an agent may name")
    aliases: dict[Name, Name] = Field(default_factory=dict, description="names that stand for an allowed model")
    prices: dict[Name, PriceSettings] = Field(default_factory=dict)
    registries: dict[RegistryName, RegistrySettings] = Field(default_factory=dict)
    egress: tuple[Name, ...] = Field(default=(), description="names of the registries that are open; none by default")
    allow_private: bool = Field(default=False, description="registries at addresses that are not public")
    max_egress: Bytes = Field(default=2 * 2**30, description="bytes, in an attempt")
    max_egress_requests: Count = Field(default=10_000, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _tunnels_are_gone(cls, values: Any) -> Any:
        if isinstance(values, dict) and "unsafe_connect" in values:
            raise ValueError(
                "the key unsafe_connect no longer exists, since nobody can check what passes through a tunnel: remove "
                "it, and name the registries that agents may read in `registries` and `egress`"
            )
        return values

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for name in self.egress:
            self.check_reachable(name)
        return self

    def check_reachable(self, name: str) -> None:
        """Check that a name stands for a registry that may be read. Raises ValueError."""
        if name not in self.registries:
            raise ValueError(f"egress names {name!r}, which is not among gateway.registries")
        for url in (self.registries[name].base_url, *self.registries[name].files):
            host = urlsplit(url).hostname or ""
            try:
                address = ip_address(host)
            except ValueError:
                continue  # what a name leads to is known only when it is asked for
            if not self.allow_private and (not address.is_global or address.is_multicast):
                raise ValueError(
                    f"egress names {name!r}, whose address {host} is not public: set gateway.allow_private = true "
                    "if it is yours"
                )
