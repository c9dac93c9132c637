"""The providers of models: the table `[providers.NAME]`, and the one value that all who call a model are told.

Which agent and planner use which one is decided in `settings`; asking is the business of `planning` and `gateway`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from squire_pipelines.domain.cost_sources import CostSource, is_stated
from squire_pipelines.domain.provider_faults import ProviderWords, UserFault
from squire_pipelines.domain.provider_limits import ProviderLimits
from squire_pipelines.domain.provider_order import names_of
from squire_pipelines.errors import ConfigError
from squire_pipelines.gateway.clouds.cloud import PROTOCOLS, Cloud, Platform
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.secret_names import SecretName, check_provider_secret
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.sections.gateway import GatewaySettings, PriceSettings
from squire_pipelines.sections.hidden_values import HIDDEN, hidden_error
from squire_pipelines.sections.services import PlannerSettings
from squire_pipelines.sections.types import (
    DEFAULT_PROVIDER,
    AwsProfile,
    BaseUrl,
    CloudRegion,
    GoogleProject,
    Name,
    ProviderName,
    SettingsSection,
)
from squire_pipelines.settings.errors import setting_context

PUBLIC_URLS: Mapping[Protocol, str] = MappingProxyType(
    {
        Protocol.OPENAI: "https://api.openai.com/v1",
        Protocol.ANTHROPIC: "https://api.anthropic.com/v1",
        Protocol.GEMINI: "https://generativelanguage.googleapis.com/v1beta",
    }
)
_PROTOCOLS_OF_HOSTS = {urlsplit(url).hostname: protocol for protocol, url in PUBLIC_URLS.items()}
# https://ai.google.dev/gemini-api/docs/openai: Google's own endpoint for OpenAI's protocol.
_GOOGLES_OPENAI_PATH = "/openai"
# What pydantic-ai calls the companies, in `provider:model`.
_PREFIXES = frozenset(
    {"openai", "openai-chat", "openai-responses", "anthropic", "google", "google-gla", "google-vertex"}
)
_NEEDED = {Platform.BEDROCK: ("region",), Platform.VERTEX: ("region", "project")}
_EXAMPLES = {"region": "eu-central-1", "project": "my-project"}
_VERSIONS = {Protocol.ANTHROPIC: "/v1", Protocol.GEMINI: "/v1beta"}


def _protocol_at(url: str) -> Protocol | None:
    parts = urlsplit(url)
    known = _PROTOCOLS_OF_HOSTS.get(parts.hostname)
    is_openai = known is Protocol.GEMINI and parts.path.rstrip("/").endswith(_GOOGLES_OPENAI_PATH)
    return Protocol.OPENAI if is_openai else known


def check_place(
    table: str, providers: Mapping[str, "ProviderSettings"], section: PlannerSettings | AgentSettings
) -> None:
    """Check how a section says where its model is.

    Args:
        table: The section, as messages name it.
        providers: The tables `[providers.NAME]`.
        section: Its `provider`, `base_url` and `model` are checked.

    Raises:
        ConfigError: It names no provider that there is, an agent's several of different protocols, or it says the same
            twice.
    """
    names, base_url = names_of(section.provider), section.base_url
    if not names:
        return
    for name in names:
        if name not in providers:
            raise ConfigError(
                f"{table}: provider = {name!r} names no table [providers.{name}]",
                hint=f"write the table{', or name one that there is: ' if providers else ''}{', '.join(providers)}",
                context=setting_context(table, "provider"),
            )
    first, *others = names
    for name in others:
        is_agents = isinstance(section, AgentSettings)
        if is_agents and providers[name].protocol is not providers[first].protocol:
            raise ConfigError(
                f"{table}: the providers {first} and {name} speak {providers[first].protocol} and "
                f"{providers[name].protocol}, and an attempt's program speaks one protocol",
                hint="name providers of one protocol",
                context=setting_context(table, "provider"),
            )
    if base_url is not None:
        raise ConfigError(
            f"{table}: provider = {first!r} and base_url = {base_url!r} both say where the model is",
            hint=f"remove one of them; the address of a provider is base_url in [providers.{first}]",
            context=setting_context(table, "base_url"),
        )
    prefix, separator, rest = (section.model or "").partition(":")
    if separator and prefix in _PREFIXES:
        raise ConfigError(
            f"{table}: model = {section.model!r} begins with a provider, and provider = {first!r} names it",
            hint=f'set model = "{rest}"',
            context=setting_context(table, "model"),
        )


def check_aliases(table: str, aliases: Mapping[str, str], allowed: Collection[str]) -> None:
    """Check that each alias of a table stands for a model that may be used. Raises ConfigError."""
    for alias, model in aliases.items():
        if model not in allowed:
            raise ConfigError(
                f"{table}: aliases.{alias} stands for {model!r}, which no agent may use",
                hint="name it in agent.model, gateway.models or the provider's models, or remove the alias",
                context=setting_context(table, "aliases", alias),
            )


def _check_secret(name: str) -> str:
    try:
        return check_provider_secret(name)
    except ValueError as error:
        raise hidden_error(str(error)) from None


ProviderSecret = Annotated[str, AfterValidator(_check_secret), HIDDEN]


class ProviderSettings(SettingsSection):
    """A model's provider: what it speaks, where it is, and which secret is its key."""

    protocol: Protocol
    base_url: BaseUrl | None = Field(default=None, description="with the version; else the protocol's own company's")
    secret: ProviderSecret | None = Field(default=None, description="the key's name; else NAME-key")
    models: tuple[Name, ...] = Field(default=(), description="further models that an agent may name")
    aliases: dict[Name, Name] = Field(default_factory=dict, description="names that stand for an allowed model")
    prices: dict[Name, PriceSettings] = Field(default_factory=dict)
    max_output: int | None = Field(default=None, ge=2048, le=1_000_000, description="tokens of one answer")
    max_concurrent: int | None = Field(default=None, ge=1, le=256, description="calls of an attempt at a time")
    max_calls_per_minute: int | None = Field(default=None, ge=1, le=100_000, description="of an attempt")
    max_usd_per_day: float | None = Field(
        default=None, gt=0, le=1_000_000, allow_inf_nan=False, description="of all attempts and plans, in UTC"
    )
    cost: CostSource = Field(default=CostSource.AUTO, description="whose figure of a call's cost counts")
    platform: Platform | None = Field(default=None, description="a cloud that serves it, under its own signatures")
    region: CloudRegion | None = Field(default=None, description="of the platform")
    project: GoogleProject | None = Field(default=None, description="of Google Cloud")
    profile: AwsProfile | None = Field(default=None, description="of the AWS configuration; else what AWS finds")

    @model_validator(mode="after")
    def _place_is_whole(self) -> Self:
        needed = _NEEDED[self.platform] if self.platform is not None else ()
        possible = (*needed, "profile") if self.platform is Platform.BEDROCK else needed
        for key in ("region", "project", "profile"):
            value = getattr(self, key)
            if value is not None and key not in possible:
                raise ValueError(f'{key} = "{value}" is of no use with platform = {self._platform_shown}: remove it')
            if value is None and key in needed:
                raise ValueError(f'platform = {self._platform_shown} needs {key}, like {key} = "{_EXAMPLES[key]}"')
        if self.platform is None:
            return self
        if self.protocol not in PROTOCOLS[self.platform]:
            spoken = " or ".join(f'"{protocol}"' for protocol in PROTOCOLS[self.platform])
            raise ValueError(f"platform = {self._platform_shown} is served with protocol = {spoken}")
        if self.secret is not None:
            raise ValueError(
                f"platform = {self._platform_shown} has no key of ours: its credentials are found as the company's own "
                "tools do; remove `secret`"
            )
        return self

    @property
    def limits(self) -> ProviderLimits:
        """What may be asked of it."""
        return ProviderLimits(*(getattr(self, limit.name) for limit in fields(ProviderLimits)))

    @property
    def _platform_shown(self) -> str:
        return f'"{self.platform}"' if self.platform is not None else "none"

    @property
    def cloud(self) -> Cloud | None:
        """Where it is on a platform; None for a server of its own."""
        if self.platform is None or self.region is None:
            return None
        return Cloud(self.platform, self.region, self.project, self.profile)

    @model_validator(mode="after")
    def _address_speaks_it(self) -> Self:
        if self.base_url is None or self.platform is not None:
            return self
        known = _protocol_at(self.base_url)
        if known is not None and known is not self.protocol:
            raise ValueError(
                f'{self.base_url} speaks {known}, and protocol = "{self.protocol}": set protocol = "{known}", or the '
                "address of a provider that speaks the other"
            )
        version = _VERSIONS.get(self.protocol)
        if version is not None and not urlsplit(self.base_url).path.rstrip("/").endswith(version):
            raise ValueError(
                f"base_url of the protocol {self.protocol} ends with {version}, since requests go to the paths below "
                f"it: {self.base_url.rstrip('/')}{version}"
            )
        return self


def _check_key_names(providers: dict[str, ProviderSettings]) -> dict[str, ProviderSettings]:
    for name, provider in providers.items():
        if provider.secret is None and f"{name}-key" in set(SecretName):
            raise ValueError(f"[providers.{name}]: the secret {name}-key is another's: set `secret`, or rename it")
    return providers


Providers = Annotated[dict[ProviderName, ProviderSettings], AfterValidator(_check_key_names)]


@dataclass(frozen=True, slots=True)
class ModelProvider:
    """A model's provider as an agent or the planner uses it.

    Args:
        name: Of its table, or `default`.
        protocol: What it speaks; None for the default one, which is asked in whatever the caller speaks.
        base_url: Where it is, with the version. None for the planner's default one, whose model names it
            (`provider:model`).
        secret: The name of its key.
        needs_key: Whether nothing goes without the key: the secret is named, or the address is a company's own.
        models: Further models that an agent may name.
        aliases: Names that stand for an allowed model.
        prices: By model.
        cloud: The platform that serves it, whose library finds the credentials: it has no key of ours.
        key_step: What sets its key on this machine, where that was looked up.
        limits: What may be asked of it.
        states_cost: Whether its own figure of what a call costs counts before our calculation.
    """

    name: str
    protocol: Protocol | None
    base_url: str | None
    secret: str
    needs_key: bool
    models: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    prices: Mapping[str, PriceSettings] = field(default_factory=dict)
    cloud: Cloud | None = None
    key_step: str | None = None
    limits: ProviderLimits = field(default_factory=ProviderLimits)
    states_cost: bool = False

    @property
    def known_protocol(self) -> Protocol | None:
        """What it speaks, also of the default one where its address is a company's own; None where nobody knows."""
        return self.protocol or _protocol_at(self.base_url or "")

    @property
    def words(self) -> ProviderWords:
        """How messages name it."""
        credentials = self.cloud.words if self.cloud is not None else None
        return ProviderWords(self.name, self.secret, self.base_url, credentials, self.key_step)

    def key_fault(self, api_key: str | None) -> UserFault | None:
        """Return what to tell where this provider needs a key and there is none, or has one that no request can have.

        A key that is copied from a page may have a dash, a mark of its encoding or a line's end that is none of ASCII's
        visible characters.
        """
        if api_key is None:
            return self.words.missing_key() if self.needs_key else None
        return None if api_key.isascii() and api_key.isprintable() else self.words.wrong_key()


def resolve_provider(
    providers: Mapping[str, ProviderSettings], name: str | None, base_url: str | None, gateway: GatewaySettings
) -> ModelProvider:
    """Return the provider that a section of the settings names.

    Args:
        providers: The tables `[providers.NAME]`.
        name: The section's `provider`; None for the default one.
        base_url: Where the default one is.
        gateway: Has models, aliases and prices for all providers; a provider's own win.

    Raises:
        KeyError: No table has this name; the settings are checked for it when they are read.
    """
    if name is None:
        return ModelProvider(
            DEFAULT_PROVIDER,
            protocol=None,
            base_url=base_url,
            secret=SecretName.MODEL_KEY.value,
            needs_key=urlsplit(base_url or "").hostname in _PROTOCOLS_OF_HOSTS,
            models=gateway.models,
            aliases=gateway.aliases,
            prices=gateway.prices,
            states_cost=is_stated(CostSource.AUTO, base_url),
        )
    table = providers[name]
    cloud = table.cloud
    url = table.base_url or PUBLIC_URLS[table.protocol]
    if cloud is not None:
        url = cloud.base_url(table.protocol, table.base_url)
    return ModelProvider(
        name,
        protocol=table.protocol,
        base_url=url,
        secret=table.secret or f"{name}-key",
        needs_key=table.secret is not None or urlsplit(url).hostname in _PROTOCOLS_OF_HOSTS,
        cloud=cloud,
        limits=table.limits,
        states_cost=is_stated(table.cost, url),
        models=tuple(dict.fromkeys((*table.models, *gateway.models))),
        aliases={**gateway.aliases, **table.aliases},
        prices={**gateway.prices, **table.prices},
    )
