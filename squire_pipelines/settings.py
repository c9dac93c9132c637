"""All settings: a TOML file, overridden by the environment, checked before anything starts. The keys: `sections`.

Paths are derived here too. Secrets are not settings: `squire_pipelines.secrets` finds them by name.
"""

import os
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from squire_pipelines.domain.budgets import BudgetLimits
from squire_pipelines.domain.container_limits import parse_size as parse_size  # noqa: PLC0414 - settings are where others look for it
from squire_pipelines.errors import ConfigError
from squire_pipelines.gateway.sections import GatewaySettings
from squire_pipelines.home import Home as Home  # noqa: PLC0414 - settings are where others look for it
from squire_pipelines.sections import (
    AgentSettings,
    AlertSettings,
    CollectionSettings,
    DispatchSettings,
    GitHubSettings,
    LoggingSettings,
    PipelineSettings,
    PlannerSettings,
    PolicySettings,
    PublishingSettings,
    RepositoryName,
    RepositoryOverrides,
    RetentionSettings,
    VerificationSettings,
    WarehouseSettings,
    WebhookSettings,
)

_SectionT = TypeVar("_SectionT", bound=BaseModel)


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
    publishing: PublishingSettings = PublishingSettings()
    verification: VerificationSettings = VerificationSettings()
    webhooks: WebhookSettings = WebhookSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    retention: RetentionSettings = RetentionSettings()
    pipeline: PipelineSettings = PipelineSettings()
    gateway: GatewaySettings = GatewaySettings()
    budgets: BudgetLimits = Field(default=BudgetLimits(), description="see docs/guide/budgets.md")
    alerts: AlertSettings = AlertSettings()
    logging: LoggingSettings = LoggingSettings()
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

    def gateway_for(self, repository: str) -> GatewaySettings:
        """What an agent of one repository may reach. Raises ConfigError when its overrides are wrong."""
        return _merged(self.gateway, self._overrides(repository).gateway, f'[repository."{repository}".gateway]')

    def budgets_for(self, repository: str) -> BudgetLimits:
        """The limits for one repository. Raises ConfigError when its overrides are wrong, or for all repositories."""
        overrides, where = self._overrides(repository).budgets, f'[repository."{repository}".budgets]'
        if common := sorted({"day", "month"} & set(overrides)):
            raise ConfigError(
                f"{where}: {common[0]} is for all repositories together",
                hint=f"set it in [budgets.{common[0]}]; `repository` limits one, by the month",
            )
        return _merged(self.budgets, overrides, where)

    def verification_for(self, repository: str) -> VerificationSettings:
        """How one repository is verified. Raises ConfigError when its overrides are wrong."""
        where = f'[repository."{repository}".verification]'
        return _merged(self.verification, self._overrides(repository).verification, where)

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
    elif isinstance(first.get("input"), dict | BaseModel):  # a rule on several values, which its message names
        what = f"{name}: {first['msg'].removeprefix('Value error, ')}"
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
            raise ConfigError(
                f"the configuration file {path} does not exist",
                hint="write one with `squire init`, or unset SQUIRE_CONFIG",
            )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is not valid TOML: {error}", hint="mend the line, or write a new file with `squire init`"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="check the file's owner and mode") from error
    _refuse_unknown_variables()
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise _config_error(error, str(path) if values else "environment") from error
    except SettingsError as error:
        raise ConfigError(
            f"environment: {error}", hint='lists and tables are written as JSON, for example ["owner/name"]'
        ) from error
    for repository in settings.repository:  # wrong overrides are found now, not when the repository's turn comes
        settings.agent_for(repository)
        settings.policy_for(repository)
        settings.gateway_for(repository)
        settings.budgets_for(repository)
    return settings


def _refuse_unknown_variables() -> None:
    """The library passes over a variable whose section does not exist; a misspelt one must not go unnoticed."""
    for name in sorted(os.environ):
        section, separator, _ = name.upper().removeprefix("SQUIRE_").partition("__")
        if name.upper().startswith("SQUIRE_") and separator and section.lower() not in Settings.model_fields:
            raise ConfigError(
                f"environment: {name} names the section {section.lower()!r}, which does not exist",
                hint="`squire config show` lists every key with its default",
            )
