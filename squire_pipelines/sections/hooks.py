"""The section `[hooks.NAME]`: another sender than GitHub, how it signs, and what its facts are about."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, TypeAdapter, ValidationError, model_validator

from squire_pipelines.domain.container_limits import Bytes
from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.hook_schemes import (
    Algorithm,
    Encoding,
    HeaderName,
    HmacScheme,
    HookScheme,
    Prefix,
    StandardScheme,
    TokenScheme,
    ToleranceS,
)
from squire_pipelines.secret_names import check_webhook_key, hook_secret
from squire_pipelines.sections.hidden_values import HIDDEN, hidden_error
from squire_pipelines.sections.types import Name, RepositoryName, Seconds, SettingsSection, matching

MAX_HOOKS = 50
MAX_SECRETS = 5

HookName = Annotated[
    str,
    matching(r"[a-z][a-z0-9]{0,28}(_[a-z0-9]{1,10}){0,3}", "not a sender's name: small letters, digits and single _"),
]
_OPTIONS = ("header", "algorithm", "encoding", "prefix", "tolerance_s", "id_header", "event_header")
_SCHEMES: TypeAdapter[HookScheme] = TypeAdapter(HookScheme)
_MODELS: dict[str, type[FrozenModel]] = {"hmac": HmacScheme, "standard": StandardScheme, "token": TokenScheme}


def _check_secret(name: str) -> str:
    try:
        return check_webhook_key(name)
    except ValueError as error:
        raise hidden_error(str(error)) from None


HookSecretName = Annotated[str, AfterValidator(_check_secret), HIDDEN]


class HookSettings(SettingsSection):
    """A sender that posts to `/hooks/NAME`. To name it switches it on."""

    enabled: bool = True
    reader: Name | None = Field(default=None, description="of its bodies: sentry, generic, or a package's; else NAME")
    secrets: Annotated[tuple[HookSecretName, ...], Field(max_length=MAX_SECRETS)] = Field(
        default=(), description="names of its secrets, any of which signs; else hook-NAME-key"
    )
    scheme: Literal["hmac", "standard", "token"] | None = Field(
        default=None, description="how it signs; else as the reader says"
    )
    header: HeaderName | None = Field(default=None, description="that has the HMAC or the token")
    algorithm: Algorithm | None = Field(default=None, description="of hmac, else sha256")
    encoding: Encoding | None = Field(default=None, description="of hmac, else hex")
    prefix: Prefix | None = Field(default=None, description="before the HMAC or the token")
    tolerance_s: ToleranceS | None = Field(default=None, description="of standard: how far its time may be from ours")
    id_header: HeaderName | None = Field(default=None, description="of hmac and token: names a delivery; else its body")
    event_header: HeaderName | None = Field(default=None, description="says what a delivery is about")
    repositories: Annotated[tuple[RepositoryName, ...], Field(max_length=1000)] = Field(
        default=(), description="that its facts may be about; else all"
    )
    projects: Annotated[dict[Name, RepositoryName], Field(max_length=1000)] = Field(
        default_factory=dict, description="its names for repositories"
    )
    max_body: Bytes = Field(default=2**20, description="of one delivery")
    may_start: bool = Field(default=False, description="work starts from its facts; else they are only shown")
    max_age_days: int = Field(default=14, ge=1, le=365, description="a fact of which nothing comes for so long ends")
    max_facts: int = Field(default=100, ge=1, le=500, description="open ones of a repository; the oldest end")
    timeout_s: Seconds = Field(default=10, description="for reading what came together")
    options: dict[str, JsonValue] = Field(default_factory=dict, description="for the reader, which checks them")

    @model_validator(mode="after")
    def _options_fit_the_scheme(self) -> Self:
        if self.scheme is not None:
            self._check_options(self.scheme)
        return self

    def _check_options(self, kind: str) -> None:
        known = _MODELS[kind].model_fields
        if wrong := [name for name in self._scheme_options if name not in known]:
            raise ValueError(f"{wrong[0]} is no option of the scheme {kind}: remove it, or name another scheme")

    @property
    def _scheme_options(self) -> dict[str, Any]:
        return {name: value for name in _OPTIONS if (value := getattr(self, name)) is not None}

    def scheme_over(self, default: HookScheme) -> HookScheme:
        """Return how the sender signs: as its reader says, with what the settings change.

        Raises:
            ValueError: What the settings say fits no scheme.
        """
        kind = self.scheme or default.kind
        self._check_options(kind)
        base = default.model_dump() if kind == default.kind else {"kind": kind}
        try:
            return _SCHEMES.validate_python(base | self._scheme_options)
        except ValidationError as error:
            name = error.errors()[0]["loc"][-1]
            raise ValueError(f"the scheme {kind} needs {name}") from error

    def reader_of(self, name: str) -> str:
        """Return what reads the bodies of the sender of that name."""
        return self.reader or name

    def secret_names(self, name: str) -> tuple[str, ...]:
        """Return the names of the secrets of the sender of that name."""
        return self.secrets or (hook_secret(name),)

    @property
    def max_age(self) -> timedelta:
        """After how long a fact ends of which nothing comes."""
        return timedelta(days=self.max_age_days)


Hooks = Annotated[dict[HookName, HookSettings], Field(max_length=MAX_HOOKS)]
