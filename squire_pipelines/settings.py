"""All settings with their defaults: a TOML file, overridden by the environment, checked before anything starts.

Paths are derived here too. Secrets are not settings: `squire_pipelines.secrets` finds them by name.
"""

import os
import re
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from squire_pipelines.domain.identity import parse_repository
from squire_pipelines.errors import ConfigError
from squire_pipelines.home import Home as Home  # noqa: PLC0414 - settings are where others look for it

_UNITS = {"": 1, "b": 1, "k": 2**10, "kib": 2**10, "m": 2**20, "mib": 2**20, "g": 2**30, "gib": 2**30}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_size(value: object) -> object:
    """Bytes of `"4GiB"`, `"512m"` or a plain number. Raises ValueError for another unit."""
    if not isinstance(value, str):
        return value
    if (match := _SIZE.fullmatch(value)) and match[2].lower() in _UNITS:
        return int(float(match[1]) * _UNITS[match[2].lower()])
    message = "a size is a number of bytes or has one of the units KiB, MiB and GiB, for example 512MiB"
    raise ValueError(message)


Bytes = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
_SectionT = TypeVar("_SectionT", bound=BaseModel)
RepositoryName = Annotated[str, AfterValidator(parse_repository)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)  # every wait has an end


class GitHubSettings(_Section):
    """Where GitHub is. For GitHub Enterprise Server: `https://HOST/api/v3` and `https://HOST`."""

    api_url: str = "https://api.github.com"
    web_url: str = "https://github.com"
    timeout_s: Seconds = 30
    max_concurrent_requests: int = Field(default=20, ge=1, le=100)
    bot_name: str = "squire[bot]"
    bot_email: str = "squire@users.noreply.github.com"
    min_write_interval_s: float = Field(default=1.0, ge=0)

    @property
    def graphql_url(self) -> str:
        """The GraphQL endpoint that belongs to `api_url`."""
        return self.api_url.removesuffix("/").removesuffix("/v3") + "/graphql"


class CollectionSettings(_Section):
    """Reading signals."""

    schedule: str = "*/10 * * * *"
    source_timeout_s: Seconds = 30
    max_concurrent_repositories: int = Field(default=8, ge=1, le=64)
    max_items: int = Field(default=500, ge=1, le=5000, description="per source and repository")


class PlannerSettings(_Section):
    """Turning signals into tasks. `auto` is `llm` when a model is set, else `rules`."""

    kind: Literal["auto", "rules", "llm"] = "auto"
    model: str | None = None
    base_url: str | None = None
    timeout_s: Seconds = 120
    max_retries: int = Field(default=3, ge=0, le=10)
    max_tasks: int = Field(default=20, ge=1, le=200, description="per plan")
    issue_labels: tuple[str, ...] = ("squire",)
    approve: Literal["auto", "manual"] = "auto"
    min_confidence: float = Field(default=0.6, ge=0, le=1)
    max_risk: Literal["low", "medium", "high"] = "medium"
    goals: str = ""


class LimitSettings(_Section):
    """What one agent's container may use."""

    cpus: float = Field(default=2, gt=0, le=256)
    memory: Annotated[Bytes, Field(ge=64 * 2**20)] = 4 * 2**30
    pids: int = Field(default=256, ge=16, le=32768)
    workspace: Bytes = 2 * 2**30
    home: Bytes = 512 * 2**20
    tmp: Bytes = 512 * 2**20
    open_files: int = Field(default=4096, ge=64)
    wall_clock_s: Seconds = 1800
    log: Bytes = 50 * 2**20
    output: Bytes = 100 * 2**20
    grace_s: float = Field(default=10, ge=0, le=300)


class AgentSettings(_Section):
    """The program that does a task."""

    kind: Literal["opencode", "command"] = "opencode"
    command: tuple[str, ...] = ()
    model: str | None = None
    base_url: str | None = None
    runner: Literal["auto", "docker", "local"] = "auto"
    image: str = "squire-worker:latest"
    limits: LimitSettings = LimitSettings()


class DispatchSettings(_Section):
    """How many attempts run at once, and how they are tried again."""

    max_concurrent: int = Field(default=5, ge=1, le=1000)
    max_per_repository: int = Field(default=1, ge=1, le=100)
    max_attempts: int = Field(default=3, ge=1, le=10)
    retry_base_s: Seconds = 30
    retry_cap_s: Seconds = 900
    claim_deadline_s: Seconds = 120
    lease_s: Seconds = 60


class PolicySettings(_Section):
    """What an agent's change may be."""

    protected_paths: tuple[str, ...] = (
        ".github/**",
        "**/CODEOWNERS",
        "**/AGENTS.md",
        "**/CLAUDE.md",
        "**/.git*",
        "**/Dockerfile*",
        "**/package-lock.json",
        "**/pnpm-lock.yaml",
        "**/yarn.lock",
        "**/uv.lock",
        "**/poetry.lock",
        "**/Cargo.lock",
        "**/go.sum",
    )
    max_files: int = Field(default=100, ge=1)
    max_changed_lines: int = Field(default=500, ge=1)
    max_bytes: Bytes = 4 * 2**20
    max_file_bytes: Bytes = 2 * 2**20


class WebhookSettings(_Section):
    """The receiver of deliveries."""

    host: str = "127.0.0.1"
    port: int = Field(default=8471, ge=0, le=65535)
    max_body: Bytes = 25 * 2**20


class WarehouseSettings(_Section):
    """Publication of the DuckDB file."""

    min_interval_s: float = Field(default=5, ge=0)
    memory_limit: Bytes = 512 * 2**20


class StepLimitSettings(_Section):
    """What one step container of our own code may use (`pipeline.executor = "docker"`)."""

    cpus: float = Field(default=1, gt=0, le=256)
    memory: Annotated[Bytes, Field(ge=256 * 2**20)] = 2 * 2**30
    pids: int = Field(default=256, ge=32, le=32768)


class PipelineSettings(_Section):
    """How Dagster runs our own code. `auto` is `docker` when an engine and the pipeline's image are there."""

    executor: Literal["auto", "in_process", "docker"] = "in_process"
    image: str = "squire-pipeline:latest"
    network: str = Field(default="bridge", description="of step containers, by which they reach GitHub and the ledger")
    step_limits: StepLimitSettings = StepLimitSettings()
    outcome_poll_s: Seconds = 60
    redelivery_s: Seconds = 60
    webserver_port: int = Field(default=3000, ge=0, le=65535)


class RepositoryOverrides(_Section):
    """Settings of one repository that differ; what is not named is taken from the general sections."""

    agent: dict[str, Any] = Field(default_factory=dict)
    policy: dict[str, Any] = Field(default_factory=dict)
    issue_labels: tuple[str, ...] | None = None


class Settings(BaseSettings):
    """Everything that can be set. Unknown keys are refused."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="SQUIRE_", env_nested_delimiter="__", case_sensitive=False
    )

    repositories: tuple[RepositoryName, ...] = ()
    github: GitHubSettings = GitHubSettings()
    collection: CollectionSettings = CollectionSettings()
    planner: PlannerSettings = PlannerSettings()
    agent: AgentSettings = AgentSettings()
    dispatch: DispatchSettings = DispatchSettings()
    policy: PolicySettings = PolicySettings()
    webhooks: WebhookSettings = WebhookSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    pipeline: PipelineSettings = PipelineSettings()
    repository: dict[RepositoryName, RepositoryOverrides] = Field(default_factory=dict)
    ledger_url: str | None = Field(default=None, description="SQLAlchemy URL; SQLite in the home when not set")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, whose content arrives as keyword arguments."""
        return (env_settings, init_settings)

    def agent_for(self, repository: str) -> AgentSettings:
        """The agent's settings for one repository. Raises ConfigError when its overrides are wrong."""
        return _merged(self.agent, self._overrides(repository).agent, f'[repository."{repository}".agent]')

    def policy_for(self, repository: str) -> PolicySettings:
        """The diff policy for one repository. Raises ConfigError when its overrides are wrong."""
        return _merged(self.policy, self._overrides(repository).policy, f'[repository."{repository}".policy]')

    def issue_labels_for(self, repository: str) -> tuple[str, ...]:
        """The labels that make an issue of this repository a task."""
        labels = self._overrides(repository).issue_labels
        return self.planner.issue_labels if labels is None else labels

    def _overrides(self, repository: str) -> RepositoryOverrides:
        return self.repository.get(repository, RepositoryOverrides())

    @cached_property
    def home(self) -> Home:
        """Where Squire's files lie."""
        return Home.from_environment()

    @property
    def resolved_ledger_url(self) -> str:
        """The ledger's SQLAlchemy URL."""
        return self.ledger_url or f"sqlite:///{self.home.data / 'ledger.sqlite'}"


def _merged(base: _SectionT, overrides: dict[str, Any], where: str) -> _SectionT:
    if not overrides:
        return base
    merged = base.model_dump()
    for key, value in overrides.items():
        known = merged.get(key)
        merged[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    try:
        return type(base).model_validate(merged)
    except ValidationError as error:
        raise _config_error(error, where) from error


def _config_error(error: ValidationError, where: str) -> ConfigError:
    first = error.errors()[0]
    variable = "SQUIRE_" + "__".join(str(part) for part in first["loc"]).upper()
    if variable in {name.upper() for name in os.environ}:
        where = f"environment variable {variable}"
    name = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        what = f"unknown key {name!r}"
    else:
        what = f"{name} = {first.get('input')!r}: {first['msg']}"
    return ConfigError(
        f"{where}: {what}{more}",
        hint="`squire config show` lists every key with its default",
        context={"errors": error.error_count(), "where": where},
    )


def load_settings(config: Path | None = None) -> Settings:
    """Read and check the settings.

    Args:
        config: The TOML file; by default `SQUIRE_CONFIG`, else `config.toml` in the configuration directory, which
            need not exist.

    Raises:
        ConfigError: The file is missing though named, is no TOML, has an unknown key or a value out of bounds.
    """
    named = config or (Path(os.environ["SQUIRE_CONFIG"]).expanduser() if os.environ.get("SQUIRE_CONFIG") else None)
    path = named or Home.from_environment().config_file
    values: dict[str, Any] = {}
    try:
        if path.is_file():
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        elif named is not None:
            message = f"the configuration file {path} does not exist"
            raise ConfigError(message, hint="write one with `squire init`, or unset SQUIRE_CONFIG")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path} is not valid TOML: {error}"
        raise ConfigError(message, hint="mend the line, or write a new file with `squire init`") from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise ConfigError(message, hint="check the file's owner and mode") from error
    _refuse_unknown_variables()
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise _config_error(error, str(path) if values else "environment") from error
    except SettingsError as error:
        message = f"environment: {error}"
        raise ConfigError(message, hint='lists and tables are written as JSON, for example ["owner/name"]') from error
    for repository in settings.repository:  # wrong overrides are found now, not when the repository's turn comes
        settings.agent_for(repository)
        settings.policy_for(repository)
    return settings


def _refuse_unknown_variables() -> None:
    """The library passes over a variable whose section does not exist; a misspelt one must not go unnoticed."""
    for name in sorted(os.environ):
        section, separator, _ = name.upper().removeprefix("SQUIRE_").partition("__")
        if name.upper().startswith("SQUIRE_") and separator and section.lower() not in Settings.model_fields:
            message = f"environment: {name} names the section {section.lower()!r}, which does not exist"
            raise ConfigError(message, hint="`squire config show` lists every key with its default")
